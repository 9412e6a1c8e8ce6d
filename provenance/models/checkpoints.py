"""Read tensors out of weight files, without ever running anything that is in them."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from provenance.models.errors import ModelCorrupt

_SHOWN = 3
# What PyTorch's loader raises on content that no torch.save wrote.
UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Inert:
    """Stands for any class or function of another package that a checkpoint names; takes everything, does nothing."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """Read a safetensors file, or a file of torch.save whose tensors may lie under "state_dict".

    Training programs leave more in their checkpoints than tensors, such as the state of their callbacks. Whatever other
    packages' classes such a file names, they are never imported: an empty class takes their place.

    Args:
        name: of the model, for messages.

    Returns:
        Tensors by key, on the CPU, mapped from the file where the format allows.

    Raises:
        ModelCorrupt: it is neither, or a TorchScript archive, or holds other things than tensors by name.
    """
    if zipfile.is_zipfile(path):
        found = _load_pickled(path, name)
    else:
        try:
            found = load_file(path)
        except SafetensorError as problem:
            reason = f"it is neither safetensors nor a whole file of PyTorch 1.6 or later ({problem})."
            raise ModelCorrupt(name, path, reason) from problem
    tensors = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()
    ):
        raise ModelCorrupt(name, path, "it does not hold tensors by name.")
    return tensors


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str, ignored: tuple[str, ...]) -> None:
    """Copy tensors into a module whose keys and shapes they must have exactly.

    Args:
        ignored: beginnings of keys that may be there and are not wanted.

    Raises:
        ModelCorrupt: keys are missing, too many, or of another shape; the message names some of each.
    """
    wanted = module.state_dict()
    given = {key: tensor for key, tensor in tensors.items() if not key.startswith(ignored)}
    common = [key for key in wanted if key in given]
    faults = {
        "missing": [key for key in wanted if key not in given],
        "of another shape": [
            f"{key} ({_shape(given[key])} instead of {_shape(wanted[key])})"
            for key in common
            if given[key].shape != wanted[key].shape
        ],
        "unexpected": [key for key in given if key not in wanted],
    }
    if any(faults.values()):
        words = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in faults.items() if keys)
        raise ModelCorrupt(name, path, f"{words}.")
    module.load_state_dict(given)


def _load_pickled(path: Path, name: str) -> Any:
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_Inert, full_name) for full_name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as problem:
        first_line = (str(problem) or type(problem).__name__).splitlines()[0]
        raise ModelCorrupt(name, path, f"PyTorch's weights-only loader refuses it ({first_line}).") from problem


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN])
    return f"{shown} and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown
