"""torchvision can be imported beside any build of torch, and is left alone where it needs no help."""

from __future__ import annotations

import subprocess
import sys

import torch

from provenance.models.torch_runtime import prepare

DECLARED_BEFORE = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
before = torch.ops.torchvision.nms.default._schema
from provenance.models.torch_runtime import prepare
prepare()
assert torch.ops.torchvision.nms.default._schema == before
"""


def test_torchvision_imports_and_its_transforms_work() -> None:
    prepare()
    prepare()
    from torchvision.transforms import functional

    picture = torch.rand(3, 8, 8)
    assert torch.equal(functional.hflip(picture), picture.flip(2))


def test_what_is_declared_already_is_left_alone() -> None:
    subprocess.run([sys.executable, "-c", DECLARED_BEFORE], check=True)
