"""Weights of the published architectures that anyone can make: random, from NumPy's counter-based generator."""

from __future__ import annotations

import json
import math
import sys
import types
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

VECTORS = Path(__file__).parents[2] / "vectors"
VQGAN_VECTORS = VECTORS / "vqgan_f16_16384_keys.json"
CLIP_VECTORS = VECTORS / "clip_vit_b_32_keys.json"
TEXTS = ["A mountainous landscape at sunset", "two zebras, in the rain"]


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal float32 numbers that depend on the name and the shape only."""
    random = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    return random.standard_normal(shape, np.float32)


def random_weights(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Return float32 tensors that keep activations about as large as they came in, of numbers that float16 has too."""
    weights = {}
    for name, shape in shapes.items():
        values = numbers(name, tuple(shape))
        if len(shape) >= 2:
            values = values * np.float32(1 / math.sqrt(math.prod(shape[1:])))
        elif name.endswith("weight"):
            values = 1 + values * np.float32(0.1)
        else:
            values = values * np.float32(0.1)
        weights[name] = torch.from_numpy(np.asarray(values, np.float16).astype(np.float32))
    return weights


def probe_pixels(side: int) -> Tensor:
    """Return ``[1, 3, side, side]``, about -1 to 1."""
    return torch.from_numpy(numbers("pixels", (1, 3, side, side)) * np.float32(0.5)).clamp(-1, 1)


def probe_codes() -> Tensor:
    """Return codes ``[1, 4, 4]`` from all over the codebook."""
    return (torch.arange(16).view(1, 4, 4) * 7919) % 16384


def sample(tensor: Tensor) -> list[float]:
    """Return 64 numbers spread over a tensor."""
    flat = tensor.detach().float().contiguous().flatten()
    places = torch.arange(64) * (len(flat) - 1) // 63
    return [round(value, 6) for value in flat[places].tolist()]


def save_as_lightning(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write what PyTorch Lightning 1.0 wrote for the published VQGAN: weights under "state_dict", those of the training
    loss among them, beside counters, the optimisers' state and that of the callbacks, which has a class as its key."""
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"]
    modules = {name: types.ModuleType(name) for name in names}
    callback = type("ModelCheckpoint", (), {"__module__": names[-1]})
    modules[names[-1]].ModelCheckpoint = callback
    loss = {
        "loss.perceptual_loss.net.slice1.0.weight": torch.zeros(64, 3, 3, 3),
        "loss.discriminator.main.0.weight": torch.zeros(64, 3, 4, 4),
        "loss.discriminator.main.3.num_batches_tracked": torch.tensor(7),
    }
    checkpoint = {
        "epoch": 11,
        "global_step": 475000,
        "pytorch-lightning_version": "1.0.8",
        "callbacks": {
            callback: {"monitor": "val/rec_loss", "best_model_score": torch.tensor(0.3), "best_model_path": ""}
        },
        "optimizer_states": [{"state": {0: {"step": 9, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 4.5e-6}]}],
        "lr_schedulers": [],
        "state_dict": {**weights, **loss},
    }
    shadowed = {name: sys.modules.get(name) for name in names}
    sys.modules.update(modules)
    try:
        torch.save(checkpoint, file)
    finally:
        for name, module in shadowed.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
