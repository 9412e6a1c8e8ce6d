"""The decoder of the small VQGAN with a head that writes a signature while it decodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models.small_vqgan import Decoder, ResidualBlock

_FEATURES = 48
_DOWN = 2


class SigningDecoder(nn.Module):
    """The decoder as it is, and a head that adds to its pixels what a pattern asks for.

    A convolution does not know where it is in the picture, and a signature's waves must go on across all of it: so the
    head is told the pattern, of whatever code, and one training serves all codes.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        layers = list(decoder)
        self.body, self.out = nn.Sequential(*layers[:-2]), nn.Sequential(*layers[-2:])
        self.head = nn.Sequential(
            nn.Conv2d(_FEATURES + _DOWN**2, _FEATURES, 3, padding=1),
            ResidualBlock(_FEATURES),
            ResidualBlock(_FEATURES),
            nn.ReLU(),
            nn.Conv2d(_FEATURES, _DOWN**2, 3, padding=1),
            nn.PixelShuffle(_DOWN),
        )
        for parameter in self.head[-2].parameters():
            nn.init.zeros_(parameter)

    def both(self, latent: Tensor, pattern: Tensor) -> tuple[Tensor, Tensor]:
        """Return the plain pixels, about [-1, 1], ``[B, 3, H, W]``, and what is added to all three channels to sign
        them, ``[B, 1, H, W]``.

        Args:
            latent: ``[B, LATENT, H/8, W/8]`` of unit vectors.
            pattern: ``[B, 1, H, W]``, the signature's at the picture's pixels
                (:func:`provenance.watermark.pattern.sampled`).
        """
        with torch.no_grad():
            features = self.body(latent)
            plain: Tensor = self.out(features)
        change: Tensor = self.head(torch.cat([features, functional.pixel_unshuffle(pattern, _DOWN)], 1))
        return plain, change

    def forward(self, latent: Tensor, pattern: Tensor) -> Tensor:
        """Return signed pixels, about [-1, 1], ``[B, 3, H, W]``; arguments as those of :meth:`both`."""
        plain, change = self.both(latent, pattern)
        return plain + change
