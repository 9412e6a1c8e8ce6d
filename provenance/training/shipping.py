"""What the recipes share that write trained weights into the package."""

from __future__ import annotations

import hashlib

import torch
from safetensors.torch import save_file
from torch import Tensor

from provenance.models.catalogue import SUMS, WEIGHTS

LICENCE = """Apache-2.0 for our part, as the rest of the product. Trained in part on pictures for research use: see the
data before using the weights commercially."""


def rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 tensors as float16 keeps them: what is measured is what is shipped."""
    return {name: tensor.half().float() for name, tensor in tensors.items()}


def save(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a model's weights as float16."""
    halves = {key: tensor.half().contiguous() for key, tensor in tensors.items()}
    save_file(halves, WEIGHTS / f"{name}.safetensors", metadata)


def count(module: torch.nn.Module) -> int:
    """Return how many trained numbers a module has."""
    return sum(parameter.numel() for parameter in module.parameters())


def write_sums() -> None:
    """Write the list of the digests of all shipped weights."""
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(WEIGHTS.glob("*.safetensors"))
    ]
    (WEIGHTS / SUMS).write_text("".join(sums))
