"""The shipped VQGAN: convolutions and ReLUs only, so that whole numbers can carry it exactly.

A code names two unit vectors of eight numbers, one of each codebook; a grid of codes at an eighth of the side is
decoded to pixels. Codes on the unit sphere and their use as a generator's prior follow Yu et al., "Vector-quantized
image modeling with improved VQGAN" (2021); the network is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
BOOKS, CODES, DIM = 2, 1024, 8
LATENT = BOOKS * DIM
_WIDTHS = (192, 96, 48)


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        y: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + y


class Encoder(nn.Sequential):
    """Pixels in [-1, 1], ``[B, 3, H, W]``, to latents ``[B, LATENT, H/8, W/8]``."""

    def __init__(self) -> None:
        wide, middle, narrow = _WIDTHS
        super().__init__(
            nn.Conv2d(3, narrow, 4, 2, 1),
            ResidualBlock(narrow),
            nn.Conv2d(narrow, middle, 4, 2, 1),
            ResidualBlock(middle),
            nn.Conv2d(middle, wide, 4, 2, 1),
            ResidualBlock(wide),
            ResidualBlock(wide),
            nn.Conv2d(wide, LATENT, 1),
        )


class Decoder(nn.Sequential):
    """Latents ``[B, LATENT, h, w]`` of unit vectors to pixels, about [-1, 1], ``[B, 3, 8h, 8w]``."""

    def __init__(self) -> None:
        wide, middle, narrow = _WIDTHS
        super().__init__(
            nn.Conv2d(LATENT, wide, 3, padding=1),
            *(ResidualBlock(wide) for _ in range(4)),
            nn.Conv2d(wide, 4 * middle, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(middle) for _ in range(2)),
            nn.Conv2d(middle, 4 * narrow, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(narrow) for _ in range(2)),
            nn.Conv2d(narrow, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )


def unit(latent: Tensor) -> Tensor:
    """Scale each of the :data:`BOOKS` parts of each latent to length 1: ``[B, LATENT, h, w]`` to the same."""
    batch, _, height, width = latent.shape
    parts = latent.view(batch, BOOKS, DIM, height, width)
    return functional.normalize(parts, dim=2).view(batch, LATENT, height, width)


class SmallVQGAN(nn.Module):
    """Encoder, codebooks (unit vectors, ``[BOOKS, CODES, DIM]``) and decoder."""

    codebook: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.register_buffer("codebook", functional.normalize(torch.randn(BOOKS, CODES, DIM), dim=2))

    def nearest(self, latent: Tensor) -> Tensor:
        """Return the codes nearest to unit latents ``[B, LATENT, h, w]``: int64 ``[B, BOOKS, h, w]``."""
        batch, _, height, width = latent.shape
        parts = latent.view(batch, BOOKS, DIM, height * width).permute(1, 0, 3, 2).reshape(BOOKS, -1, DIM)
        codes = torch.bmm(parts, self.codebook.transpose(1, 2)).argmax(2)
        return codes.view(BOOKS, batch, height, width).transpose(0, 1)

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the unit latents ``[B, LATENT, h, w]`` of codes ``[B, BOOKS, h, w]``."""
        parts = [self.codebook[book][codes[:, book]] for book in range(BOOKS)]
        return torch.cat(parts, 3).permute(0, 3, 1, 2).contiguous()

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the codes of pixels in [-1, 1], ``[B, 3, H, W]``."""
        return self.nearest(unit(self.encoder(pixels)))

    def decode(self, codes: Tensor) -> Tensor:
        """Return the pixels, cut to [-1, 1], of codes ``[B, BOOKS, h, w]``."""
        pixels: Tensor = self.decoder(self.look_up(codes))
        return pixels.clamp(-1, 1)
