"""The universal adversarial signature as published: one or two bits in 8-bit pictures.

Zeng et al., "Securing Deep Generative Models with Universal Adversarial Signature" (arXiv 2305.16310). An injector maps
a picture to a signed one, a detector tells the code; a code of zeros is what pictures have that nobody signed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from provenance.models.checkpoints import fill, read_tensors
from provenance.models.errors import ModelCorrupt
from provenance.models.paper_signature_nets import ResNet34, ResNetConfig, UNet, UNetConfig

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

_BATCH = 32
_NAME = "paper-signature"


@dataclass(frozen=True)
class Profile:
    """A size of both networks.

    Attributes:
        side: of the pictures that they are trained on, in pixels.
    """

    side: int
    injector: UNetConfig
    detector: ResNetConfig


PROFILES = {
    "paper": Profile(256, UNetConfig(), ResNetConfig()),
    "small": Profile(
        32,
        UNetConfig(16, (1, 1, 2), blocks=1, attention=(4,), head=16, groups=2, dropout=0.0),
        ResNetConfig(16, small=True),
    ),
}


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, pixels: Tensor) -> Tensor:
        return ((pixels.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def rounded(pixels: Tensor) -> Tensor:
    """Cut pixels to [-1, 1] and round them to the nearest of 256 levels; gradients pass as if nothing had been done.

    Without it a detector could tell signed pictures by their lying between the levels, and nothing of that is left in
    a file.
    """
    out: Tensor = _Rounded.apply(pixels)  # type: ignore[no-untyped-call]
    return out


def to_pixels(pictures: U8) -> Tensor:
    """Return uint8 ``[B, H, W, 3]`` as float32 ``[B, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(pixels: Tensor) -> U8:
    """Return ``[B, 3, H, W]``, cut to [-1, 1] and rounded, as uint8 ``[B, H, W, 3]``."""
    levels = ((pixels.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def codes(bits: int) -> list[tuple[int, ...]]:
    """Return the codes that a signed picture can have: all but zeros, in ascending order."""
    return [tuple(value >> (bits - 1 - place) & 1 for place in range(bits)) for value in range(1, 1 << bits)]


@torch.no_grad()
def sign(injector: UNet, pictures: U8, code: Sequence[int] = (1,)) -> U8:
    """Sign pictures.

    Args:
        injector: in eval mode.
        pictures: uint8 ``[B, H, W, 3]``.
        code: as many bits as the injector's, not all 0.

    Returns:
        uint8 ``[B, H, W, 3]``.

    Raises:
        ValueError: the code or the pictures' shape do not fit.
    """
    if tuple(code) not in codes(injector.bits):
        raise ValueError(f"The code must be one of {codes(injector.bits)}, not {tuple(code)}.")
    _check(pictures)
    device = injector.step.device
    signed = [to_pictures(signed_pixels(injector, to_pixels(part).to(device), code)) for part in _parts(pictures)]
    return np.concatenate(signed) if signed else pictures.copy()


def signed_pixels(injector: UNet, pixels: Tensor, code: Sequence[int]) -> Tensor:
    """Return pixels ``[B, 3, H, W]`` in [-1, 1] signed with one code and rounded, with gradients."""
    told = torch.tensor([code], device=pixels.device).expand(len(pixels), -1) if injector.bits > 1 else None
    return rounded(injector(pixels, told))


@torch.no_grad()
def read(detector: ResNet34, pictures: U8) -> F64:
    """Return the logits of the bits of uint8 ``[B, H, W, 3]``: ``[B, bits]``, above 0 a 1.

    Args:
        detector: in eval mode.

    Raises:
        ValueError: the pictures' shape does not fit.
    """
    _check(pictures)
    device = detector.fc.weight.device
    found = [detector(to_pixels(part).to(device)).double().cpu().numpy() for part in _parts(pictures)]
    return np.concatenate(found) if found else np.empty((0, detector.bits))


def restored(restorer: UNet, pictures: U8) -> U8:
    """Return signed pictures as an attacker's network gives them back, uint8 ``[B, H, W, 3]``."""
    return sign(restorer, pictures)


def _check(pictures: U8) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ValueError(f"uint8 pictures [B, H, W, 3] are needed, not {pictures.dtype} {list(pictures.shape)}.")


def _parts(pictures: U8) -> list[U8]:
    return [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]


def save(path: Path, injector: UNet, detector: ResNet34 | None, training: dict[str, Any]) -> None:
    """Write networks as float32 safetensors, at once or not at all, with their sizes and what training says of itself.

    Args:
        detector: None for an attacker's network, which stands alone.
    """
    tensors = {f"injector.{key}": tensor for key, tensor in injector.state_dict().items()}
    sizes: dict[str, Any] = {"bits": injector.bits, "injector": asdict(injector.config)}
    if detector is not None:
        tensors |= {f"detector.{key}": tensor for key, tensor in detector.state_dict().items()}
        sizes["detector"] = asdict(detector.config)
    part = path.with_suffix(".part")
    told = {"sizes": json.dumps(sizes), "training": json.dumps(training)}
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, part, told)
    part.rename(path)


def load_injector(path: Path) -> UNet:
    """Load the injector of a file of :func:`save`, in eval mode and without gradients.

    Raises:
        ModelCorrupt: it is no such file.
    """
    sizes, tensors = _opened(path)
    try:
        told: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes["injector"].items()}
        config = UNetConfig(**told)
        injector = UNet(config, sizes["bits"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ModelCorrupt(_NAME, path, "it does not say the sizes of an injector.") from problem
    fill(injector, _with_prefix(tensors, "injector."), path, _NAME, ())
    return injector.eval().requires_grad_(False)


def load_detector(path: Path) -> ResNet34:
    """Load the detector of a file of :func:`save`, in eval mode and without gradients.

    Raises:
        ModelCorrupt: it is no such file, or that of an attacker's network.
    """
    sizes, tensors = _opened(path)
    try:
        detector = ResNet34(ResNetConfig(**sizes["detector"]), sizes["bits"])
    except (KeyError, TypeError, ValueError) as problem:
        raise ModelCorrupt(_NAME, path, "it does not say the sizes of a detector.") from problem
    fill(detector, _with_prefix(tensors, "detector."), path, _NAME, ())
    return detector.eval().requires_grad_(False)


def training_of(path: Path) -> dict[str, Any]:
    """Return what a file of :func:`save` says of its training.

    Raises:
        ModelCorrupt: it is no such file.
    """
    return _told(path, "training")


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return _told(path, "sizes"), read_tensors(path, _NAME)


def _told(path: Path, what: str) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            found = json.loads((file.metadata() or {})[what])
    except (SafetensorError, OSError, KeyError, ValueError) as problem:
        raise ModelCorrupt(_NAME, path, "it is no file of signature networks.") from problem
    if not isinstance(found, dict):
        raise ModelCorrupt(_NAME, path, "it is no file of signature networks.")
    return found
