"""What happens to a picture before the detector of the published signature sees it (arXiv 2305.16310, section 4)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from provenance.watermark.paper import rounded

_DEGREES = 30
_KERNEL = 5
# The authors' program draws the blur's standard deviation from these; the text speaks of variances up to 10.
SIGMAS = np.linspace(0.01, 1, 10)


def rotated(pixels: Tensor, degrees: float) -> Tensor:
    """Rotate ``[B, 3, H, W]`` in [-1, 1] about the middle, nearest neighbours; what comes from outside is grey."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    ratio = pixels.shape[2] / pixels.shape[3]
    turn = pixels.new_tensor([[cosine, -sine * ratio, 0], [sine / ratio, cosine, 0]]).expand(len(pixels), -1, -1)
    grid = functional.affine_grid(turn, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, mode="nearest", align_corners=False)


def blurred(pixels: Tensor, sigma: float) -> Tensor:
    """Blur ``[B, 3, H, W]`` with a Gaussian window of 5 x 5."""
    places = torch.arange(_KERNEL, device=pixels.device) - _KERNEL // 2
    line = torch.exp(-0.5 * (places / sigma).square())
    window = torch.outer(line, line)
    kernel = (window / window.sum()).expand(3, 1, -1, -1)
    padded = functional.pad(pixels, [_KERNEL // 2] * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=3)


def seen(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """Rotate, blur and mirror a batch, all its pictures alike, and round it to 256 levels.

    Args:
        pixels: ``[B, 3, H, W]`` in [-1, 1].
        random: of the draws: -30 to 30 whole degrees, one of :data:`SIGMAS`, mirrored or not.
    """
    turned = rotated(pixels, int(random.integers(-_DEGREES, _DEGREES + 1)))
    smooth = blurred(turned, float(random.choice(SIGMAS)))
    return rounded(smooth.flip(3) if random.random() < 0.5 else smooth)
