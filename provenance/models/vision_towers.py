"""The image towers of DFN5B ViT-H/14 and SigLIP SO400M/14, through open_clip, filled from their authors' files.

Fang et al., "Data Filtering Networks" (ICLR 2024); Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (ICCV
2023). The files hold both towers; only the image tower is kept, and of DFN5B's the features before the projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from provenance.models.checkpoints import fill, read_tensors
from provenance.models.torch_runtime import prepare

_PREFIX = "visual."
_Triple = tuple[float, float, float]
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class VisionTower:
    """One tower.

    Attributes:
        name: of the model in the store.
        architecture: open_clip's name for it.
        side: pixels a side.
        width: numbers of a picture's features.
        mean, std: of red, green and blue in [0, 1], as it was trained.
    """

    name: str
    architecture: str
    side: int
    width: int
    mean: _Triple = _OPENAI_MEAN
    std: _Triple = _OPENAI_STD


TOWERS: dict[str, VisionTower] = {
    tower.name: tower
    for tower in (
        VisionTower("dfn5b-vit-h-14-378", "ViT-H-14-378-quickgelu", 378, 1280),
        VisionTower("dfn5b-vit-h-14", "ViT-H-14-quickgelu", 224, 1280),
        VisionTower("siglip-so400m-14-384", "ViT-SO400M-14-SigLIP-384", 384, 1152, _HALF, _HALF),
        VisionTower("siglip-so400m-14", "ViT-SO400M-14-SigLIP", 224, 1152, _HALF, _HALF),
    )
}


def load_tower(tower: VisionTower, path: Path) -> nn.Module:
    """Load an image tower from the file of both towers; nothing is fetched.

    Returns:
        Normalised pixels, ``[B, 3, side, side]``, to features ``[B, width]``, not of length 1. On the CPU, float32, in
        eval mode, without gradients of its weights.

    Raises:
        ModelCorrupt: the file is not this model; the message names keys.
    """
    net = new_tower(tower).to_empty(device="cpu")
    tensors = read_tensors(path, tower.name)
    image = {key.removeprefix(_PREFIX): tensor for key, tensor in tensors.items() if key.startswith(_PREFIX)}
    fill(net, image, path, tower.name, ())
    if hasattr(net, "proj"):
        net.proj = None
    loaded: nn.Module = net.float().eval().requires_grad_(False)
    return loaded


def new_tower(tower: VisionTower) -> Any:
    """Return the tower with its projection and without weights, on PyTorch's device "meta"."""
    prepare()
    import open_clip

    with torch.device("meta"):
        return open_clip.create_model(tower.architecture, pretrained=None, device="meta").visual
