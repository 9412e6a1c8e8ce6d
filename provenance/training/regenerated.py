"""Photographs passed through autoencoders: same content, size, crop and compression, other pixels.

Pairs of a photograph and its regeneration leave a detector nothing to learn but the generator's own traces (Rajan et
al., "Aligned datasets improve detection of latent diffusion-generated images", 2025). Two autoencoders: the shipped
VQGAN, and TAEF2, the tiny autoencoder of FLUX.2 (MIT), whose weights lie in ``weights/`` of the data's folder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from provenance.models import store
from provenance.models.small_vqgan import SmallVQGAN
from provenance.training.pictures import DataMissing, data_folder

RGB = npt.NDArray[np.uint8]
Regenerate = Callable[[RGB], RGB]

_WIDTH, _LATENT = 64, 32
_BOUND = 3.0


def autoencoders() -> dict[str, Regenerate]:
    """Return those at hand by name; each maps uint8 ``[H, W, 3]``, sides divisible by 8, to the same shape."""
    vqgan = SmallVQGAN()
    vqgan.load_state_dict({key: t.float() for key, t in load_file(store.path("small-vqgan")).items()})
    vqgan.eval().requires_grad_(False)
    found: dict[str, Regenerate] = {
        "small-vqgan": lambda pixels: _through(lambda x: vqgan.decode(vqgan.encode(x * 2 - 1)) / 2 + 0.5, pixels)
    }
    try:
        files = [data_folder() / "weights" / f"taef2_{half}.pth" for half in ("encoder", "decoder")]
    except DataMissing:
        return found
    if all(file.is_file() for file in files):
        taef2 = nn.Sequential(_taef2_encoder(), _taef2_decoder())
        for half, file in zip(taef2, files, strict=True):
            half.load_state_dict(torch.load(file, weights_only=True))
        taef2.eval().requires_grad_(False)
        found["taef2"] = lambda pixels: _through(taef2, pixels)
    return found


@torch.no_grad()
def _through(net: Callable[[Tensor], Tensor], pixels: RGB) -> RGB:
    x = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    return np.asarray((net(x)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


class _Block(nn.Module):
    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        wide = 4 * _WIDTH
        narrow = nn.Conv2d(wide, _WIDTH, 1, bias=False)
        pool = nn.Sequential(nn.Conv2d(_WIDTH, wide, 1, bias=False), nn.GroupNorm(4, wide), nn.ReLU(), narrow)
        self.pool = pool if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(x + self.conv(x))


class _Bounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / _BOUND) * _BOUND


def _taef2_encoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, _WIDTH, 3, padding=1), _Block()]
    for pooled in (False, False, True):
        layers.append(nn.Conv2d(_WIDTH, _WIDTH, 3, 2, 1, bias=False))
        layers += [_Block(pooled=pooled) for _ in range(3)]
    return nn.Sequential(*layers, nn.Conv2d(_WIDTH, _LATENT, 3, padding=1))


def _taef2_decoder() -> nn.Sequential:
    layers: list[nn.Module] = [_Bounded(), nn.Conv2d(_LATENT, _WIDTH, 3, padding=1), nn.ReLU()]
    for pooled in (True, False, False):
        layers += [_Block(pooled=pooled) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, _Block(), nn.Conv2d(_WIDTH, 3, 3, padding=1))
