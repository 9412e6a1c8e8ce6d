"""Weights of DINOv2 with registers that anyone can make, and where the reference numbers are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from provenance.models.dinov2 import VIT_B, VIT_S, DinoV2
from tests.provenance.models.published import VECTORS, random_weights

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


__all__ = ["DINOV2_VECTORS", "DinoV2", "dinov2_weights", "probe"]
