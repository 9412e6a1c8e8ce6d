"""How well two pictures agree where one lies over the other: in structure, light and colour, all over and in parts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from provenance.images.align import correlation, grey_of, resize_map, warp
from provenance.images.register import band, reduced_to

RGB = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Longest side of the reference on whose frame both are compared.
_SIDE = 160
_LEAST_PIXELS = 300
# Bands of frequencies: details, and shapes. Blur and noise leave at least the second.
_DETAILS, _SHAPES = (1.5, 10.0), (3.0, 16.0)
_COLOUR_BLUR = 2.0
# Near the seam the band looks at what is outside.
_SEAM = 9
_BLOCK = 16
# A block with less deviation shows nothing that could agree, grey levels.
_PLAIN = 2.0
# What does not show both pictures is filled with this grey.
_OUTSIDE = 128


@dataclass(frozen=True, eq=False)
class Agreement:
    """What two pictures have in common on the frame of the reference.

    Correlations are zero-mean and normalised, -1..1, over the common part; 0 where one side is plain.

    Attributes:
        details, shapes: of two bands of frequencies of the grey values.
        light: of the grey values.
        colour: mean of the two colour channels of CIELAB.
        block_median, block_quartile: of the details in squares of 16 pixels: the median, and what three of four reach.
        blocks: squares that show something.
        area_reference: common part of the reference, 0..1.
        stretch: how much longer the map draws one direction than the other, >= 1.
        query, reference: the common part of both, uint8 ``[h, w, 3]``, one size.
    """

    details: float
    shapes: float
    light: float
    colour: float
    block_median: float
    block_quartile: float
    blocks: int
    area_reference: float
    stretch: float
    query: RGB
    reference: RGB


def stretch_of(homography: F64, width: int, height: int) -> float:
    """Return how much longer a map ``[3, 3]`` draws one direction than the other, >= 1, in the middle of a picture;
    infinite where it is no map there."""
    x, y, w = homography @ ((width - 1) / 2, (height - 1) / 2, 1.0)
    if not np.isfinite(homography).all() or abs(w) < 1e-9:
        return float("inf")
    jacobian = (homography[:2, :2] - np.outer((x / w, y / w), homography[2, :2])) / w
    longest, shortest = np.linalg.svd(jacobian, compute_uv=False)
    return float(longest / max(shortest, 1e-9))


def agreement(query: RGB, reference: RGB, homography: F64) -> Agreement | None:
    """Compare a query, laid over by a map, with a reference; None where they hardly overlap or the map is none. About
    0.015 s.

    Args:
        query, reference: uint8 sRGB ``[H, W, 3]``.
        homography: float64 ``[3, 3]`` from pixels of the query to those of the reference.
    """
    stretch = stretch_of(homography, query.shape[1], query.shape[0])
    if not np.isfinite(stretch):
        return None
    small = reduced_to(reference, _SIDE)
    size = small.shape[1], small.shape[0]
    to_small = resize_map(size[0] / reference.shape[1], size[1] / reference.shape[0])
    drawn, mask = warp(query, to_small @ homography, size)
    if mask.sum() < _LEAST_PIXELS:
        return None
    kernel = np.ones((_SEAM, _SEAM), np.uint8)
    inside = np.asarray(cv2.erode(mask.astype(np.uint8), kernel, borderValue=1), np.bool_)
    if inside.sum() < _LEAST_PIXELS:
        inside = mask
    grey, grey_reference = grey_of(drawn), grey_of(small)
    details, details_reference = band(grey, *_DETAILS), band(grey_reference, *_DETAILS)
    blocks = _blocks(details, details_reference, inside)
    colours, colours_reference = _colours(drawn), _colours(small)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Agreement(
        details=correlation(details[inside], details_reference[inside]),
        shapes=correlation(band(grey, *_SHAPES)[inside], band(grey_reference, *_SHAPES)[inside]),
        light=correlation(grey[inside], grey_reference[inside]),
        colour=sum(correlation(a[inside], b[inside]) for a, b in zip(colours, colours_reference, strict=True)) / 2,
        block_median=float(np.median(blocks)) if blocks.size else 0.0,
        block_quartile=float(np.quantile(blocks, 0.25)) if blocks.size else 0.0,
        blocks=len(blocks),
        area_reference=float(mask.mean()),
        stretch=stretch,
        query=_only(drawn, mask)[box],
        reference=_only(small, mask)[box],
    )


def _blocks(one: F32, other: F32, inside: Mask) -> F64:
    found = []
    for top in range(0, one.shape[0] - _BLOCK + 1, _BLOCK):
        for left in range(0, one.shape[1] - _BLOCK + 1, _BLOCK):
            place = np.s_[top : top + _BLOCK, left : left + _BLOCK]
            common = inside[place]
            if common.mean() > 0.8 and other[place][common].std() >= _PLAIN:
                found.append(correlation(one[place][common], other[place][common]))
    return np.array(found, np.float64)


def _colours(picture: RGB) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    smooth = cv2.GaussianBlur(picture, (0, 0), _COLOUR_BLUR)
    _, a, b = cv2.split(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB))
    return np.asarray(a, np.uint8), np.asarray(b, np.uint8)


def _only(picture: RGB, mask: Mask) -> RGB:
    return np.where(mask[..., None], picture, np.uint8(_OUTSIDE)).astype(np.uint8)
