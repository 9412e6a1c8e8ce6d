"""Write a signature into a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
from numpy.random import PCG64, Generator

from provenance.images import edit_steps
from provenance.images.quality import mse
from provenance.watermark.networks import (
    RGB,
    SMALLEST_SIDE,
    Map,
    canonical_size,
    change_for,
    mean_masking,
    most_change,
    small_copy,
)
from provenance.watermark.pattern import laid_over
from provenance.watermark.payload import Payload, encode
from provenance.watermark.read import read

# Texture hides a change and hides the signature from its detector too. So a picture's PSNR falls by 34 dB for ten times
# the masking, around 43.7 dB at the masking of an ordinary photograph.
_USUAL_PSNR, _USUAL_MASKING, _SLOPE = 43.7, 0.25, 34.0
LEAST_PSNR, MOST_PSNR = 38.5, 49.0
_LONGEST_TO_SHORTEST = 6
_ROUNDS, _STRONGER = 4, 1.3
# Decibels, for a picture whose signature cannot be read back.
_STRONGER_BY = 4.0
_BAND = 256
# What a signature is made to outlast.
_EDITS: tuple[Callable[[RGB, Generator], RGB], ...] = (
    *[partial(edit_steps.crop_random, low=0.6)] * 3,
    partial(edit_steps.gaussian_blur, radius=2),
    partial(edit_steps.noise, sigma=0.03 * 255),
    partial(edit_steps.jpeg, quality=40),
)


class CannotBeSigned(ValueError):
    """The picture has no room for a signature; the message says why."""


def psnr_for(pixels: RGB) -> float:
    """Return the decibels that a picture ``[H,W,3]`` is signed with: 49 where it is flat, down to 38.5 where textures
    hide more."""
    return psnr_for_masking(mean_masking(pixels))


def psnr_for_masking(mean: float) -> float:
    """As :func:`psnr_for`, of :func:`provenance.watermark.networks.mean_masking`."""
    return min(MOST_PSNR, max(LEAST_PSNR, _USUAL_PSNR - _SLOPE * math.log10(mean / _USUAL_MASKING)))


def sign(pixels: RGB, payload: Payload, psnr: float | None = None) -> RGB:
    """Return the picture with the payload written into it in one pass of the injector, uint8 ``[H,W,3]`` as given.

    Args:
        pixels: uint8 ``[H,W,3]``, sRGB.
        psnr: decibels of the result against ``pixels``, after rounding, that are aimed at, :func:`psnr_for` the picture
            if not given. No place is changed so much that it would be seen, so that pictures with little texture come
            out higher.

    Raises:
        CannotBeSigned: a side has fewer than 64 pixels, or one is more than six times the other.
        provenance.models.errors.ModelMissing: the networks are not here.
    """
    see_room(*pixels.shape[:2])
    return _changed(pixels, _injected(pixels, payload), _mean_square(psnr_for(pixels) if psnr is None else psnr))


def sign_to_last(pixels: RGB, payload: Payload) -> RGB:
    """As :func:`sign`, so that it is read after as many as can be of a crop to 60 % of both sides, a blur, noise and
    JPEG; takes seconds.

    What one pass of the injector gives is tried first; where it does not outlast all of them, a change that is fitted
    to the picture (:mod:`provenance.watermark.refine`), half of it at first. Of more than 512 x 512 pixels a copy of
    that area is tried and fitted.

    Raises:
        CannotBeSigned: as :func:`sign`, or the signature cannot be read even without an edit.
        provenance.models.errors.ModelMissing: the networks are not here.
    """
    see_room(*pixels.shape[:2])
    small, psnr, injected = small_copy(pixels), psnr_for(pixels), _injected(pixels, payload)
    for mean_square in (_mean_square(psnr), _mean_square(psnr - _STRONGER_BY)):
        chosen, most = injected, -1
        for change in _candidates(small, payload, injected, mean_square):
            outlasted = _outlasted(_changed(small, change, mean_square), payload)
            if outlasted > most:
                chosen, most = change, outlasted
            if outlasted == len(_EDITS):
                break
        signed = _changed(pixels, chosen, mean_square)
        if _is_read(signed, payload):
            return signed
    raise CannotBeSigned("This picture drowns a signature: what was written could not be read back.")


def _candidates(pixels: RGB, payload: Payload, injected: Map, mean_square: float) -> Iterator[Map]:
    from provenance.watermark.refine import refined

    yield injected
    fitted = refined(pixels, encode(payload), injected, mean_square)
    fitted /= np.sqrt(np.square(fitted).mean())
    yield injected + fitted
    yield fitted


def _outlasted(signed: RGB, payload: Payload) -> int:
    """Return how many of the edits the signature outlasts; -1 where it is not even read without one."""
    if not _is_read(signed, payload):
        return -1
    edited = (edit(signed, Generator(PCG64(place))) for place, edit in enumerate(_EDITS))
    return sum(_is_read(np.ascontiguousarray(one), payload) for one in edited)


def _is_read(pixels: RGB, payload: Payload) -> bool:
    return any(reading.payload == payload for reading in read(pixels))


def _mean_square(psnr: float) -> float:
    return float(255**2 / 10 ** (psnr / 10))


def _injected(pixels: RGB, payload: Payload) -> Map:
    return change_for(pixels, laid_over(encode(payload), *canonical_size(*pixels.shape[:2])))


def _changed(pixels: RGB, change: Map, mean_square: float) -> RGB:
    """Add a change of the canonical size, so much of it that the mean square is reached, where it is not seen."""
    gain = (mean_square / max(1e-12, float(np.square(change).mean()))) ** 0.5
    change = np.asarray(cv2.resize(change, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)[..., None]
    most = most_change(pixels)[..., None]
    signed = np.empty_like(pixels)
    # By bands of rows: as floating point numbers a large picture would take many times its memory.
    bands = [slice(top, top + _BAND) for top in range(0, pixels.shape[0], _BAND)]
    for _ in range(_ROUNDS):
        squares = 0.0
        for band in bands:
            unseen = np.clip(np.float32(gain) * change[band], -most[band], most[band])
            signed[band] = np.clip(np.rint(pixels[band] + unseen), 0, 255)
            squares += mse(signed[band], pixels[band]) * signed[band].size
        reached = squares / signed.size
        if reached > 0:
            gain *= min(_STRONGER, (mean_square / reached) ** 0.5)
    return signed


def see_room(height: int, width: int) -> None:
    """See whether a picture of this size can be signed.

    Raises:
        CannotBeSigned: a side has fewer than 64 pixels, or one is more than six times the other.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise CannotBeSigned(f"A signature needs {SMALLEST_SIDE} pixels a side; this picture has {width} x {height}.")
    if max(height, width) > _LONGEST_TO_SHORTEST * min(height, width):
        raise CannotBeSigned(
            f"The longer side may be {_LONGEST_TO_SHORTEST} times the shorter one; this picture has {width} x {height}."
        )
