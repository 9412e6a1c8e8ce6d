"""The networks of the robust signature: an injector that fits a pattern to a picture, and a detector that finds it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)
# What hides a change where there is no texture at all, as a deviation.
_FLAT = 0.012
# How many times more than its share of a change a place gets at most.
_MOST = 2.0


@dataclass(frozen=True)
class Layers:
    """Size of one of the two networks: channels at half the resolution, and the dilation of each residual layer."""

    channels: int
    dilations: tuple[int, ...]


INJECTOR = Layers(channels=24, dilations=(1, 2, 4, 1, 2))
DETECTOR = Layers(channels=32, dilations=(1, 2, 4, 8, 1, 2, 4, 8))


class _Body(nn.Module):
    def __init__(self, inputs: int, layers: Layers) -> None:
        super().__init__()
        wide = layers.channels
        self.first = nn.Conv2d(4 * inputs, wide, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(wide, wide, 3, padding=d, dilation=d) for d in layers.dilations)
        self.last = nn.Conv2d(wide, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(functional.pixel_unshuffle(x, 2)))
        for layer in self.layers:
            x = x + functional.relu(layer(x))
        last: Tensor = self.last(x)
        return functional.pixel_shuffle(last, 2)


def masking(pixels: Tensor) -> Tensor:
    """Return how much change a place hides, ``[B,1,H,W]``, about .11 to .7, for pixels ``[B,3,H,W]`` in 0..1.

    Texture masks: the square root of the luma's local deviation, in a window of nine pixels (a just-noticeable
    difference as in Chou and Li, IEEE TCSVT 1995, without its dependence on luminance).
    """
    weights = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device).view(1, 3, 1, 1)
    luma = (pixels * weights).sum(1, keepdim=True)
    padded = functional.pad(luma, (4, 4, 4, 4), mode="replicate")
    mean = functional.avg_pool2d(padded, 9, 1)
    square = functional.avg_pool2d(padded * padded, 9, 1)
    deviation = (square - mean * mean).clamp_min(0).sqrt()
    return (deviation + _FLAT).sqrt()


def most_hidden(pixels: Tensor) -> Tensor:
    """Return the largest change of a place that is not seen, ``[B,1,H,W]`` in 0..1, for pixels ``[B,3,H,W]`` in 0..1:
    1.3 of 255 grey levels where it is flat, and a quarter of its local deviation more where it is not."""
    return 0.005 + 0.25 * (masking(pixels).square() - _FLAT)


def visibility(pixels: Tensor) -> Tensor:
    """Return how a change is spread over the places of a picture, ``[B,1,H,W]`` with a mean square of 1: by
    :func:`masking`, within a quarter and four times of its mean."""
    hidden = masking(pixels)
    hidden = (hidden / hidden.mean((2, 3), keepdim=True)).clamp(0.25, 4)
    return hidden / hidden.square().mean((2, 3), keepdim=True).sqrt()


def _normal(change: Tensor) -> Tensor:
    return change / change.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-12).sqrt()


class Injector(nn.Module):
    """W: what to add to a picture's luma so that its detector finds the pattern.

    ``forward(pixels [B,3,H,W] in 0..1, pattern [B,1,H,W]) -> [B,1,H,W]`` with a mean square of 1; H and W even.
    """

    def __init__(self, layers: Layers = INJECTOR) -> None:
        super().__init__()
        self.body = _Body(4, layers)
        for parameter in self.body.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pixels: Tensor, pattern: Tensor) -> Tensor:
        spread = visibility(pixels)
        change: Tensor = spread * (pattern + self.body(torch.cat([pixels - 0.5, 0.25 * pattern], 1)))
        # Signatures are found most easily where a picture is smooth, and seen most easily there too.
        return _normal(torch.clamp(_normal(change), -_MOST * spread, _MOST * spread))


class SignatureDetector(nn.Module):
    """F: the expected pattern at every pixel.

    ``forward(pixels [B,3,H,W] in 0..1) -> [B,1,H,W]``, near 0 where nothing can be told; H and W even.
    """

    def __init__(self, layers: Layers = DETECTOR) -> None:
        super().__init__()
        self.body = _Body(3, layers)

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.body(pixels - pixels.mean((2, 3), keepdim=True))
        return found
