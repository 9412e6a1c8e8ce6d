"""Weights for the shipped networks that no training made: whole numbers of a counter, everywhere the same bytes.

They paint nothing that anybody would call a picture, but the whole way from the keys to the pixels runs through them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from provenance.artwork import tiers
from provenance.models import catalogue, small_vqgan, text_image

VOCABULARY = ["a", "at", "beach", "blue", "forest", "green", "lake", "mountain", "red", "sunset", "the", "with"]


def _whole(seed: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    random = np.random.Generator(np.random.Philox(key=seed))
    return random.integers(-127, 128, shape).astype(np.float64)


def _weights(seed: int, module: nn.Module) -> dict[str, Tensor]:
    """Draw every tensor with the variance that keeps a signal's size: He et al., "Delving deep" (2015)."""
    drawn = {}
    for number, (name, tensor) in enumerate(sorted(module.state_dict().items())):
        shape = tuple(tensor.shape)
        values = _whole(1000 * seed + number, shape)
        if name == "codebook":
            values /= np.sqrt((values * values).sum(-1, keepdims=True))
        elif name.endswith("bias"):
            values /= 1024
        elif tensor.dim() > 1 and "words" not in name and "trigrams" not in name:
            # Numbers up to 127 have a deviation of 73. Branches beside an identity add little, pixels stay in range.
            share = 0.25 if ".second." in name or name == "decoder.13.weight" else 1
            values *= share * math.sqrt(2 / math.prod(shape[1:])) / 73
        else:
            values /= 256
        drawn[name] = torch.from_numpy(values).half().contiguous()
    for table in ("words.weight", "trigrams.weight"):
        if table in drawn:
            drawn[table][0] = 0
    return drawn


def write(folder: Path) -> None:
    """Write both files and their list into a folder, as the package's folder has them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(1, small_vqgan.SmallVQGAN()), folder / "small-vqgan.safetensors")
    towers = {"image": text_image.ImageTower(), "text": text_image.TextTower(VOCABULARY)}
    both = {
        f"{tower}.{name}": tensor
        for seed, (tower, module) in enumerate(towers.items(), 2)
        for name, tensor in _weights(seed, module).items()
    }
    save_file(both, folder / "text-image.safetensors", {"vocabulary": json.dumps(VOCABULARY)})
    files = sorted(folder.glob("*.safetensors"))
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / catalogue.SUMS).write_text("".join(sums))


@contextmanager
def shipped_from(folder: Path) -> Iterator[None]:
    """Take a folder for the package's folder of weights."""
    before = catalogue.WEIGHTS
    catalogue.WEIGHTS = folder
    tiers.load.cache_clear()
    try:
        yield
    finally:
        catalogue.WEIGHTS = before
        tiers.load.cache_clear()
