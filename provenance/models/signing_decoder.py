"""A head beside the decoder of the small VQGAN that writes a signature while it decodes.

The decoder itself learns nothing, and whoever has the weights can leave the head away.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models.small_vqgan import Decoder, ResidualBlock

_DOWN = 2


class SigningDecoder(nn.Module):
    """The decoder as it is, and a head that sees its last features and adds to its pixels what a pattern asks for.

    A convolution does not know where it is in the picture, and a signature's waves must go on across all of it: so the
    head is told the pattern, of whatever code, and one training serves all codes.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        *body, last, shuffle = decoder
        assert isinstance(last, nn.Conv2d)
        width = last.in_channels
        self.body, self.out = nn.Sequential(*body), nn.Sequential(last, shuffle)
        self.head = nn.Sequential(
            nn.Conv2d(width + _DOWN**2, width, 3, padding=1),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.ReLU(),
            nn.Conv2d(width, _DOWN**2, 3, padding=1),
            nn.PixelShuffle(_DOWN),
        )
        for parameter in self.head[-2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, latent: Tensor, pattern: Tensor) -> tuple[Tensor, Tensor]:
        """Return the plain pixels, cut to [-1, 1], float32 ``[B, 3, H, W]``, and what is added to all their channels
        to sign them, ``[B, 1, H, W]``, nothing before any training.

        Args:
            latent: ``[B, LATENT, H/8, W/8]`` of unit vectors.
            pattern: ``[B, 1, H, W]``, the signature's at the picture's pixels
                (:func:`provenance.watermark.pattern.sampled`).
        """
        with torch.no_grad():
            features = self.body(latent)
            plain: Tensor = self.out(features).clamp(-1, 1)
        change: Tensor = self.head(torch.cat([features, functional.pixel_unshuffle(pattern, _DOWN)], 1))
        return plain, change
