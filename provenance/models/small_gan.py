"""A small generator after Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020): mapped latents
that modulate and demodulate convolutions, noise at each layer, colours summed over the resolutions; and its judge."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE, _GAIN = 0.2, math.sqrt(2)
_FIRST = 4


@dataclass(frozen=True)
class GanConfig:
    """Sizes of both networks.

    Attributes:
        side: of the pictures, 4 times a power of 2.
        latent: numbers of a latent, before and after the mapping.
        mapping: layers of it.
        channels: at the full side; they double with each halving up to ``most``.
    """

    side: int = 32
    latent: int = 64
    mapping: int = 4
    channels: int = 12
    most: int = 48

    @property
    def widths(self) -> list[int]:
        """Channels at 4, 8, ... ``side`` pixels."""
        levels = int(math.log2(self.side // _FIRST))
        return [min(self.most, self.channels << (levels - level)) for level in range(levels + 1)]


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE) * _GAIN


class _Modulated(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, latent: int, *, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = nn.Linear(latent, inputs)
        nn.init.normal_(self.style.weight, std=1 / math.sqrt(latent))
        nn.init.ones_(self.style.bias)
        self.demodulate = demodulate

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        style = self.style(latent)
        weight = self.weight / math.sqrt(self.weight[0].numel())
        # Scaling what comes in and what goes out is the same as scaling each picture's own weights.
        y = functional.conv2d(x * style[:, :, None, None], weight, padding=weight.shape[2] // 2)
        if self.demodulate:
            power = style.square() @ weight.square().sum((2, 3)).T
            y = y * torch.rsqrt(power + 1e-8)[:, :, None, None]
        return y + self.bias[:, None, None]


class _Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.conv = _Modulated(inputs, outputs, 3, latent)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, latent: Tensor, noise: Tensor) -> Tensor:
        return _leaky(self.conv(x, latent) + self.strength * noise)


class Generator(nn.Module):
    """Latents to pictures."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        size, widths = config.latent, config.widths
        self.mapping = nn.ModuleList(nn.Linear(size, size) for _ in range(config.mapping))
        self.first = nn.Parameter(torch.randn(1, widths[0], _FIRST, _FIRST))
        inputs = [widths[0], *widths[:-1]]
        self.layers = nn.ModuleList(
            nn.ModuleList([_Layer(before, width, size), _Layer(width, width, size)])
            for before, width in zip(inputs, widths, strict=True)
        )
        self.colours = nn.ModuleList(_Modulated(width, 3, 1, size, demodulate=False) for width in widths)

    def forward(self, latent: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Map normal ``[B, latent]`` to pixels, about [-1, 1], ``[B, 3, side, side]``.

        Args:
            noise: of the layers' noise; PyTorch's own by default.
        """
        w = latent * torch.rsqrt(latent.square().mean(1, keepdim=True) + 1e-8)
        for linear in self.mapping:
            w = _leaky(linear(w))
        x = self.first.expand(len(latent), -1, -1, -1)
        pixels: Tensor | None = None
        for pair, colours in zip(self.layers, self.colours, strict=True):
            if pixels is not None:
                x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
                pixels = functional.interpolate(pixels, scale_factor=2.0, mode="bilinear")
            for layer in pair.children():
                drawn = torch.randn(len(x), 1, *x.shape[2:], generator=noise).to(x)
                x = layer(x, w, drawn)
            seen = colours(x, w)
            pixels = seen if pixels is None else pixels + seen
        assert pixels is not None
        return pixels


class Judge(nn.Module):
    """The discriminator: residual, with the deviation among the batch's pictures as a last channel."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.first = nn.Conv2d(3, widths[0], 1)
        self.convs = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.Conv2d(width, after, 3, padding=1),
                    nn.Conv2d(width, after, 1, bias=False),
                ]
            )
            for width, after in itertools.pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.out = nn.Sequential(
            nn.Linear(widths[-1] * _FIRST**2, widths[-1]), nn.LeakyReLU(_SLOPE), nn.Linear(widths[-1], 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels ``[B, 3, side, side]`` to verdicts ``[B]``, high for real ones."""
        x = _leaky(self.first(pixels))
        for one, other, skip in (pair.children() for pair in self.convs):
            y = functional.avg_pool2d(_leaky(other(_leaky(one(x)))), 2)
            x = (y + skip(functional.avg_pool2d(x, 2))) / math.sqrt(2)
        # The root of nothing has no slope, and equal pictures must have one.
        deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean().expand(len(x), 1, *x.shape[2:])
        x = _leaky(self.last(torch.cat([x, deviation], 1)))
        verdict: Tensor = self.out(x.flatten(1))
        return verdict[:, 0]
