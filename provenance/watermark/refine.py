"""Fit a signature to the one picture that it goes into, by its detector's gradients, so that it outlasts edits.

What a picture itself says to the detector is known when it is signed. So the injector's change is moved, within what
is not seen, until every bit is read with a margin from pieces of the picture, blurred, and out of JPEG: informed
embedding (Miller, Doerr and Cox, IEEE TIP 2004) by gradients averaged over edits drawn at random (Athalye et al., ICML
2018), that of JPEG taken to be one (straight-through).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.random import PCG64, Generator
from torch import Tensor
from torch.nn import functional

from provenance.images import edit_steps
from provenance.models.signature_nets import most_hidden
from provenance.watermark.networks import RGB, Map, canonical, canonical_size, networks, small_copy
from provenance.watermark.pattern import TILE, waves

if TYPE_CHECKING:
    import numpy.typing as npt

_STEPS, _STEP, _MOMENTUM = 12, 0.15, 0.7
_KEPT, _BLUR, _QUALITIES, _NOISE = 0.6, 2.0, (30, 60), (4.0, 12.0)
# Margins: of a bit in root mean squares of all, of a fixed wave in those of the waves that carry bits.
_BIT_MARGIN, _SYNC_MARGIN, _SYNC_WEIGHT = 1.2, 3.5, 1 / 6
_SEED = 317


def refined(pixels: RGB, bits: npt.NDArray[np.bool_], change: Map, mean_square: float) -> Map:
    """Return a change of the canonical size that the detector reads after edits, float32 ``[h,w]``, in grey levels.

    Args:
        pixels: uint8 ``[H,W,3]``.
        bits: the code word, bool ``[127]``.
        change: the injector's, float32 ``[h,w]``, of the canonical size, with a mean square of 1.
        mean_square: of the result over the picture, in squared grey levels, at most.

    Raises:
        provenance.models.errors.ModelMissing: the networks are not here.
    """
    _, detector = networks()
    pixels = small_copy(pixels)
    height, width = pixels.shape[:2]
    plain = 255 * _floats(pixels)
    most_here = 255 * functional.interpolate(most_hidden(canonical(pixels)), (height, width), mode="bilinear")
    wanted = torch.from_numpy(np.where(bits, np.float32(1), np.float32(-1)))
    random = Generator(PCG64(_SEED))
    fitted = torch.from_numpy(change)[None, None] * math.sqrt(mean_square)
    most = functional.interpolate(most_here, change.shape, mode="bilinear")
    moved = torch.zeros_like(fitted)
    for step in range(_STEPS):
        fitted.requires_grad_()
        unseen = functional.interpolate(fitted, (height, width), mode="bicubic")
        unseen = torch.minimum(torch.maximum(unseen, -most_here), most_here)
        unseen = unseen * (mean_square / unseen.square().mean()).sqrt().clamp(max=1)
        signed = ((plain + unseen) / 255).clamp(0, 1)
        loss = sum(
            _unread(detector(_canonical(view))[0, 0], linear, shift, wanted)
            for view, linear, shift in _views(signed, change.shape, step, random)
        )
        assert isinstance(loss, Tensor)
        (gradient,) = torch.autograd.grad(loss, fitted)
        with torch.no_grad():
            moved = _MOMENTUM * moved + gradient / gradient.square().mean().sqrt().clamp(min=1e-12)
            fitted = fitted - _STEP * (1 - step / _STEPS) * most * moved / moved.square().mean().sqrt().clamp(min=1e-12)
            fitted = torch.minimum(torch.maximum(fitted, -1.5 * most), 1.5 * most)
    return fitted[0, 0].numpy()


_View = tuple[Tensor, "npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]


def _views(signed: Tensor, pattern: tuple[int, ...], step: int, random: Generator) -> tuple[_View, ...]:
    """Cut to 60 % of both sides, every second time saved as JPEG; blurred; and by turns saved as JPEG or with noise;
    each with where a pattern of ``pattern`` size lies in it."""
    height, width = signed.shape[2:]
    rows, columns = round(_KEPT * height), round(_KEPT * width)
    top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
    piece = signed[..., top : top + rows, left : left + columns]
    if step % 2:
        piece = _saved(piece, random)
    other = _saved(signed, random) if step % 2 else _noisy(signed, random)
    scale = pattern[0] / height, pattern[1] / width
    whole = _lies(scale, 0, 0, (height, width))
    return (piece, *_lies(scale, top, left, (rows, columns))), (_blurred(signed), *whole), (other, *whole)


def _lies(
    scale: tuple[float, float], top: int, left: int, piece: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what a placement says of the pattern in the canonical copy of a piece, ``scale`` pixels of the pattern,
    down and across, being one of the picture's: the linear map and the shift."""
    before = np.array(scale)[::-1]
    after = np.array(canonical_size(*piece))[::-1] / np.array(piece)[::-1]
    corner = (0.5 / after + np.array([left, top])) * before - 0.5
    return np.diag(before / after), -corner


def _unread(found: Tensor, linear: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], wanted: Tensor) -> Tensor:
    """Return how far bits and fixed waves are from being read with their margins, in a detector's map ``[h,w]``."""
    w = waves()
    frequencies = np.concatenate([w.carriers, w.sync]) / TILE
    here = -2j * np.pi * (frequencies @ linear.T)
    phase = np.exp(2j * np.pi * (frequencies @ shift))
    across = np.exp(np.outer(np.arange(found.shape[1]), here[:, 0])).astype(np.complex64)
    down = (np.exp(np.outer(np.arange(found.shape[0]), here[:, 1])) * phase).astype(np.complex64)
    amplitudes = ((found.to(torch.complex64) @ torch.from_numpy(across)) * torch.from_numpy(down)).sum(0)
    payload, sync = amplitudes[: len(w.carriers)], amplitudes[len(w.carriers) :]
    wave = torch.from_numpy(w.wave)
    values = torch.where(torch.from_numpy(w.quadrature) == 0, payload.real[wave], -payload.imag[wave])
    values = values * torch.from_numpy(w.sign).float()
    spread = values.square().mean(0, keepdim=True).sqrt().clamp(min=1e-9)
    soft = (values / spread).sum(1)
    bits = wanted * soft / soft.square().mean().sqrt().clamp(min=1e-9)
    fixed = (sync * torch.from_numpy(np.exp(-1j * w.sync_phase).astype(np.complex64))).real / spread.mean()
    missing = functional.relu(_BIT_MARGIN - bits).square().mean()
    return missing + _SYNC_WEIGHT * functional.relu(_SYNC_MARGIN - fixed).square().mean()


def _canonical(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[2:]
    size = canonical_size(height, width)
    return functional.interpolate(pixels, size, mode="bicubic", antialias=height > size[0])


def _blurred(pixels: Tensor) -> Tensor:
    reach = math.ceil(3 * _BLUR)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / _BLUR).square())
    line = (line / line.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(pixels, [reach] * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, line, groups=3), line.transpose(2, 3), groups=3)


def _saved(pixels: Tensor, random: Generator) -> Tensor:
    low, high = _QUALITIES
    saved = edit_steps.jpeg(_bytes(pixels), random, quality=low, up_to=high)
    return pixels + (_floats(saved) - pixels).detach()


def _noisy(pixels: Tensor, random: Generator) -> Tensor:
    noisy = edit_steps.noise(_bytes(pixels), random, sigma=float(random.uniform(*_NOISE)))
    return pixels + (_floats(noisy) - pixels).detach()


def _bytes(pixels: Tensor) -> RGB:
    return np.ascontiguousarray((255 * pixels.detach()[0].permute(1, 2, 0)).round().to(torch.uint8).numpy())


def _floats(pixels: RGB) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
