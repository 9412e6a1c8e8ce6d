"""DINOv2 with four registers, ViT-S/14 and ViT-B/14, through timm, filled from its authors' files.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); Darcet et al., "Vision Transformers
Need Registers" (ICLR 2024). The files hold a grid of 37 x 37 positions (518 pixels a side); for 224 pixels it is
resampled as the authors do for the models with registers: bicubic, antialiased, no offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from provenance.models.checkpoints import fill, read_tensors
from provenance.models.torch_runtime import prepare

SIDE = 224
# Of red, green and blue in [0, 1]: ImageNet's.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_PATCH, _STORED_GRID = 14, 37


@dataclass(frozen=True)
class DinoV2:
    """One size.

    Attributes:
        name: of the model in the store.
        architecture: timm's name for it.
        width: numbers of the CLS token.
    """

    name: str
    architecture: str
    width: int


VIT_S = DinoV2("dinov2-vit-s-14-reg", "vit_small_patch14_reg4_dinov2", 384)
VIT_B = DinoV2("dinov2-vit-b-14-reg", "vit_base_patch14_reg4_dinov2", 768)


def load_dinov2(size: DinoV2, path: Path) -> nn.Module:
    """Load a backbone from its authors' file, or from any file of the same tensors; nothing is fetched.

    Returns:
        Normalised pixels, ``[B, 3, SIDE, SIDE]``, to the normalised CLS token ``[B, width]``. On the CPU, float32, in
        eval mode, without gradients of its weights.

    Raises:
        ModelCorrupt: the file is not this model; the message names keys as the authors do.
    """
    prepare()
    import timm
    from timm.layers.pos_embed import resample_abs_pos_embed

    net: Any = timm.create_model(size.architecture, pretrained=False, num_classes=0, img_size=SIDE)
    registers = net.reg_token
    # For the time of the reading the module bears the authors' names and shapes.
    del net.reg_token
    net.register_tokens = registers
    net.pos_embed = nn.Parameter(torch.empty(1, 1 + _STORED_GRID**2, size.width))
    net.mask_token = nn.Parameter(torch.empty(1, size.width))
    fill(net, read_tensors(path, size.name), path, size.name, ())
    positions = net.pos_embed.detach()
    del net.register_tokens, net.mask_token, net.pos_embed
    net.reg_token = registers
    # timm adds no position to the CLS token.
    net.cls_token = nn.Parameter(net.cls_token.detach() + positions[:, :1])
    grid = (SIDE // _PATCH, SIDE // _PATCH)
    net.pos_embed = nn.Parameter(resample_abs_pos_embed(positions[:, 1:], list(grid), num_prefix_tokens=0))
    loaded: nn.Module = net.eval().requires_grad_(False)
    return loaded
