"""A perceptual hash as a network: a backbone, a centre, and one direction for each bit.

Li et al., arXiv 2503.11195, section 4: the features of a picture are centred and projected on principal components,
and the signs are the bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class HashNet(nn.Module):
    """Pixels to the logits of bits; bit i is ``logits[:, i] >= 0``, and bit 0 is written first.

    Attributes:
        backbone: normalised pixels, ``[B, 3, side, side]``, to features ``[B, width]``.
        side: pixels a side.
        width: numbers of a feature vector.
        bits: of a hash.
        pixel_mean, pixel_std: buffers ``[3, 1, 1]``, of red, green and blue in [0, 1].
        centre: buffer ``[width]``, the mean of the features that the components were fitted on.
        components: buffer ``[bits, width]``, row i the direction of bit i, used as it is (no whitening).
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    centre: Tensor
    components: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        side: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        width: int,
        bits: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.side = side
        self.width = width
        self.bits = bits
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            self.register_buffer(name, torch.tensor(tuple(values), dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("components", torch.zeros(bits, width))

    def features(self, pixels: Tensor) -> Tensor:
        """Return the backbone's features ``[B, width]`` of float pixels ``[B, 3, side, side]`` in [0, 1]."""
        features: Tensor = self.backbone((pixels - self.pixel_mean) / self.pixel_std)
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits ``[B, bits]`` of float pixels ``[B, 3, side, side]`` in [0, 1]."""
        return (self.features(pixels) - self.centre) @ self.components.T
