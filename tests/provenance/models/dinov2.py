"""Weights of DINOv2 with registers that anyone can make, and where the reference numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from provenance.models.catalogue import MODELS
from provenance.models.dinohash import PUBLISHED
from provenance.models.dinov2 import VIT_B, VIT_S
from tests.provenance.models.published import VECTORS, numbers, random_weights, read

DINOHASH_VECTORS = VECTORS / "dinohash.json"
DINOV2_VECTORS = {VIT_S: VECTORS / "dinov2_vits14_reg4_keys.json", VIT_B: VECTORS / "dinov2_vitb14_reg4_keys.json"}
# The rule that keeps a matrix's outputs small would leave nothing of these.
_TOKENS = ("cls_token", "pos_embed", "register_tokens", "mask_token")


def dinov2_weights(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Return random float32 tensors under which every part of the net matters to what comes out."""
    weights = random_weights(shapes)
    for name in _TOKENS:
        weights[name] = weights[name] / weights[name].std() / 2
    for name in weights:
        if name.endswith("gamma"):
            weights[name] = weights[name] * 5
    return weights


def probe(side: int = 224) -> Tensor:
    """Return normalised pixels ``[2, 3, side, side]``: one smooth picture, one of blocks."""
    y, x = torch.meshgrid(torch.linspace(-2, 2, side), torch.linspace(-2, 2, side), indexing="ij")
    smooth = torch.stack([torch.sin(3 * x + y), torch.cos(x * y), x.clamp(-1, 1)])
    blocks = ((x * 4).floor() + (y * 4).floor()).remainder(2) * 2 - 1
    return torch.stack([smooth, blocks.expand(3, side, side)])


def mean_of(algorithm: str) -> npt.NDArray[np.float32]:
    """Return a mean for a published hash, ``[1, width]`` as its authors store it."""
    return numbers(f"{algorithm} mean", (1, PUBLISHED[algorithm].backbone.width)) * np.float32(0.3)


def components_of(algorithm: str) -> npt.NDArray[np.float32]:
    """Return orthonormal rows for a published hash: random ones after Gram and Schmidt, so that they are unique."""
    made = PUBLISHED[algorithm]
    rows = numbers(f"{algorithm} components", (made.backbone.width, made.bits)).astype(np.float64)
    q, r = np.linalg.qr(rows)
    return (q * np.sign(np.diag(r))).T.astype(np.float32)


def put_published(algorithm: str, folder: Path) -> list[Path]:
    """Write the three files of a published hash where the store looks for them: real formats, random weights."""
    made = PUBLISHED[algorithm]
    backbone, mean, components = (folder / MODELS[name].file for name in made.models)
    if not backbone.exists():
        torch.save(dinov2_weights(read(DINOV2_VECTORS[made.backbone])["shapes"]), backbone)
    np.save(mean, mean_of(algorithm))
    np.save(components, components_of(algorithm))
    return [backbone, mean, components]
