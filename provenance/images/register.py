"""Lay one picture over another by grey values, where key points do not hold: after blur, noise, hard compression.

The query, at a ladder of scales and mirrored too, is slid over the reference (normalised cross-correlation, Lewis,
"Fast normalized cross-correlation", Vision Interface 1995) and the best places are refined to affine maps (ECC:
Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008).
Both look at a band of frequencies: neither slow changes of light nor noise decide. Turns of more than some ten degrees
are for :mod:`provenance.images.align`.

Coordinates are those of :mod:`provenance.images.align`: the centre of the top left pixel is (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from provenance.images.align import grey_of, resize_map, resized

RGB = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Longest side of the reference while the query is slid over it, and while the map is refined.
_COARSE_SIDE, _FINE_SIDE = 96, 160
# The band, as the standard deviations of two Gaussians, pixels.
_COARSE_BAND, _REFINE_BAND, _FINE_BAND = (1.0, 8.0), (1.5, 10.0), (1.2, 10.0)
# Sizes of the query, the first a quarter larger than what fits into the reference.
_SCALES = tuple(1.25 * 1.09**-step for step in range(16))
_LEAST_SIDE = 20
# So far, in coarse pixels, the query may reach beyond the reference.
_BEYOND = 16
# A place that correlates less is not worth refining: of 41 copies that key points did not find none was below 0.39.
_LEAST_CORRELATION = 0.3
# A picture whose band deviates less has nothing to go by, grey levels.
_PLAIN = 1.0
_ITERATIONS = 20
# A border is lines whose pixels are less than this far from their mean on average, grey levels, up to this part of the
# side.
_FLAT, _BORDER_PART = 3.0, 0.4


@dataclass(frozen=True, eq=False)
class Registration:
    """How the query lies in the reference.

    Attributes:
        homography: float64 ``[3, 3]``, an affine map from query to reference pixels, mirroring included.
        mirrored: whether it mirrors.
    """

    homography: F64
    mirrored: bool


@dataclass(frozen=True)
class _Place:
    correlation: float
    scale: float
    mirrored: bool
    x: int
    y: int


def without_border(picture: RGB) -> tuple[RGB, tuple[int, int]]:
    """Cut plain lines off the four sides of a uint8 ``[H, W, 3]`` picture.

    Returns:
        What is left, a view, at least a fifth of each side; and how many columns and rows were cut off left and above.
    """
    height, width, _ = picture.shape
    top = _plain_lines(picture)
    bottom = height - _plain_lines(picture[::-1])
    left = _plain_lines(picture[top:bottom].transpose(1, 0, 2))
    right = width - _plain_lines(picture[top:bottom, ::-1].transpose(1, 0, 2))
    return picture[top:bottom, left:right], (left, top)


def register(query: RGB, reference: RGB, most: int = 2) -> list[Registration]:
    """Return up to ``most`` maps of a query onto a reference, uint8 ``[H, W, 3]`` each, the best place first.

    About 0.1 s on one core for pictures of 640 pixels a side. Nothing for pictures under 20 pixels a side without their
    border, and where no place correlates.
    """
    inner, (left, top) = without_border(query)
    if min(*inner.shape[:2], *reference.shape[:2]) < _LEAST_SIDE:
        return []
    small, large = grey_of(np.ascontiguousarray(inner)), grey_of(reference)
    border = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    found: list[Registration] = []
    tried: set[tuple[bool, int, int, int]] = set()
    for place in _places(small, large):
        if len(found) == most or place.correlation < _LEAST_CORRELATION:
            break
        # Neighbours on the ladder and in place lead to the same map.
        near = (place.mirrored, round(np.log(place.scale) / 0.2), round(place.x / 8), round(place.y / 8))
        if near not in tried:
            tried.add(near)
            matrix = _refined(small, large, place)
            if matrix is not None:
                found.append(Registration(matrix @ border, place.mirrored))
    return found


def band(grey: npt.NDArray[np.generic], fine: float, coarse: float) -> F32:
    """Return what of a grey picture lies between two scales, float32: a difference of Gaussians."""
    values = grey.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), fine) - cv2.GaussianBlur(values, (0, 0), coarse), np.float32)


def reduced_to(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Return a picture, grey or not, with this longest side."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    return resized(picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def _plain_lines(lines: npt.NDArray[np.uint8]) -> int:
    outer = lines[: int(_BORDER_PART * len(lines))].astype(np.float32)
    deviation = np.abs(outer - outer.mean(1, keepdims=True)).mean((1, 2))
    busy = np.flatnonzero(deviation >= _FLAT)
    return int(busy[0]) if busy.size else len(outer)


def _places(query: Grey, reference: Grey) -> list[_Place]:
    """Return the best place for each scale, mirrored and not, best first."""
    small = reduced_to(reference, _COARSE_SIDE)
    around = cv2.copyMakeBorder(
        band(small, *_COARSE_BAND), _BEYOND, _BEYOND, _BEYOND, _BEYOND, cv2.BORDER_CONSTANT, value=0.0
    )
    if around.std() < _PLAIN:
        return []
    fits = min(small.shape[0] / query.shape[0], small.shape[1] / query.shape[1])
    places = []
    for mirrored in (False, True):
        source = np.ascontiguousarray(query[:, ::-1]) if mirrored else query
        for step in _SCALES:
            size = (round(source.shape[1] * fits * step), round(source.shape[0] * fits * step))
            if min(size) < _LEAST_SIDE or size[0] > around.shape[1] or size[1] > around.shape[0]:
                continue
            template = band(resized(source, size), *_COARSE_BAND)
            if template.std() < _PLAIN:
                continue
            scores = cv2.matchTemplate(around, template, cv2.TM_CCOEFF_NORMED)
            _, best, _, (x, y) = cv2.minMaxLoc(scores)
            if np.isfinite(best):
                places.append(_Place(float(best), fits * step, mirrored, x - _BEYOND, y - _BEYOND))
    return sorted(places, key=lambda place: -place.correlation)


def _refined(query: Grey, reference: Grey, place: _Place) -> F64 | None:
    """Return the affine map that a place leads to, coarse first, then fine."""
    source = np.ascontiguousarray(query[:, ::-1]) if place.mirrored else query
    # From coarse pixels of the reference to those of the query at the same scale.
    matrix = np.array([[1, 0, -place.x], [0, 1, -place.y]], np.float32)
    for side, frequencies in ((_COARSE_SIDE, _REFINE_BAND), (_FINE_SIDE, _FINE_BAND)):
        growth = side / _COARSE_SIDE
        large = reduced_to(reference, side)
        scale = place.scale * growth
        size = max(1, round(source.shape[1] * scale)), max(1, round(source.shape[0] * scale))
        small = resized(source, size)
        start = matrix.copy()
        start[:, 2] *= growth
        try:
            _, moved = cv2.findTransformECC(
                band(large, *frequencies),
                band(small, *frequencies),
                start.copy(),
                cv2.MOTION_AFFINE,
                (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 1e-4),
            )
        except cv2.error:
            # It does not converge on what has nothing in common.
            moved = start
        matrix = np.asarray(moved, np.float32).copy()
        matrix[:, 2] /= growth
    final = np.vstack([np.asarray(moved, np.float64), [0.0, 0.0, 1.0]])
    of_large = resize_map(large.shape[1] / reference.shape[1], large.shape[0] / reference.shape[0])
    of_small = resize_map(small.shape[1] / source.shape[1], small.shape[0] / source.shape[0])
    to_query = np.linalg.inv(of_small) @ final @ of_large
    if place.mirrored:
        to_query = np.array([[-1.0, 0, query.shape[1] - 1], [0, 1, 0], [0, 0, 1]]) @ to_query
    if abs(np.linalg.det(to_query)) < 1e-9:
        return None
    return np.asarray(np.linalg.inv(to_query), np.float64)
