"""A diffusion model: Ho et al., "Denoising Diffusion Probabilistic Models" (2020).

The U-Net of the signature's injector, told its time steps; the cosine schedule of Nichol and Dhariwal (2021); sampled
as in Song et al., "Denoising Diffusion Implicit Models" (2021).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from provenance.models.paper_signature_nets import UNetBody, UNetConfig, step_embedding

STEPS = 1000
_OFFSET = 0.008


def kept_shares() -> Tensor:
    """Return how much of a picture's variance is left after each of :data:`STEPS` steps, float32 ``[STEPS]``."""
    at = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    curve = torch.cos((at + _OFFSET) / (1 + _OFFSET) * math.pi / 2).square()
    # Not to 0: the last step would be noise and nothing else, of which no picture can be told.
    return (curve[1:] / curve[0]).clamp(min=1e-4).float()


class Diffusion(nn.Module):
    """A network that tells the noise in a picture."""

    kept: Tensor

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.body = UNetBody(config)
        self.register_buffer("kept", kept_shares(), persistent=False)

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Tell the noise, ``[B, 3, H, W]``, in pictures after steps ``[B]``, int64 from 0."""
        told = self.body.step_embedding(step_embedding(step, self.body.config.channels))
        return self.body.told(noisy, told)

    def noised(self, pixels: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Return pixels in [-1, 1] with noise of deviation 1 as they are after steps ``[B]``."""
        kept = self.kept[step].view(-1, 1, 1, 1)
        return kept.sqrt() * pixels + (1 - kept).sqrt() * noise

    def cleaned(self, noisy: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Return the pixels that :meth:`noised` had, of what it gave; cut to [-1, 1]."""
        kept = self.kept[step].view(-1, 1, 1, 1)
        return ((noisy - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)

    @torch.no_grad()
    def sample(self, noise: Tensor, steps: int = 50) -> Tensor:
        """Return pictures, ``[B, 3, H, W]`` in [-1, 1], of noise of deviation 1; the same noise gives the same ones."""
        x = noise
        times = torch.linspace(STEPS - 1, 0, steps, device=noise.device).round().long()
        for number, time in enumerate(times):
            step = time.expand(len(x))
            told = self(x, step)
            pixels = self.cleaned(x, told, step)
            if number + 1 == steps:
                return pixels
            kept = self.kept[time].sqrt(), (1 - self.kept[time]).sqrt()
            again = (x - kept[0] * pixels) / kept[1]
            x = self.noised(pixels, again, times[number + 1].expand(len(x)))
        return x
