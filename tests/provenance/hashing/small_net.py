"""A hash network small enough for tests: random, seeded, made up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from provenance.models.hash_net import HashNet

SIDE, WIDTH, BITS = 32, 48, 40


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=4, padding=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(768, WIDTH)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.layers(pixels)
        return features


def small_net(bits: int = BITS) -> HashNet:
    """Return a net of 32 x 32 pixels in eval mode, the same each time."""
    random = torch.Generator().manual_seed(5)
    net = HashNet(_Backbone(), side=SIDE, pixel_mean=(0.5,) * 3, pixel_std=(0.25,) * 3, width=WIDTH, bits=bits)
    for tensor in (*net.backbone.parameters(), net.centre):
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.1
        tensor.data = torch.randn(tensor.shape, generator=random) * scale
    net.components = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random))[0][:bits].contiguous()
    return net.eval()
