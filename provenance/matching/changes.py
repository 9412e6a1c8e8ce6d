"""What was done to a copy: named from how it lies in the registered picture, and from how the colours differ there."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from provenance.images.align import Alignment, render_aligned
from provenance.images.decode import thumbnail

RGB = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SIDE = 320
# Degrees, fractions of an area and grey levels from which a change is worth a word: below them lie the errors of
# alignment, scaling and compression.
_TURNED = 1.5
_MISSING = 0.03
_AROUND = 0.04
_PLAIN = 6.0
_GREY_CHROMA, _COLOURED_CHROMA = 3.0, 8.0
_SHIFTED = 9.0
_DRAWN, _DRAWN_AREA = 45.0, 0.002
_SMALLER = 0.7
_SLOW = 61
# Standard deviations of the blurs that a copy is compared with, pixels, and from which on it is called blurred.
_BLURS = (0.0, 0.7, 1.2, 2.0, 3.0, 4.5)
_BLURRED = 1.2
# Compression of sample pictures to JPEG quality 5 leaves noise of up to 2.3 grey levels; noise of 10 % at least 3.7.
_NOISE, _NOISE_OF_TEXTURE = 3.5, 0.6
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


class Change(StrEnum):
    """One thing that was done to the registered picture to make the copy."""

    MIRRORED = "mirrored"
    ROTATED = "rotated"
    CROPPED = "cropped"
    FRAMED = "framed"
    PASTED = "pasted"
    GREYSCALE = "greyscale"
    RECOLOURED = "recoloured"
    BLURRED = "blurred"
    NOISY = "noisy"
    DRAWN_OVER = "drawn_over"
    REDUCED = "reduced"


def changes(query: RGB, reference: RGB, alignment: Alignment) -> list[Change]:
    """Name what turned the reference into the query, in the order of :class:`Change`; nothing for a plain copy.

    Args:
        query, reference: uint8 sRGB ``[H, W, 3]``, the pair that was aligned.
    """
    small = thumbnail(reference, _SIDE)
    (height, width, _), (small_height, small_width, _) = reference.shape, small.shape
    scale_x, scale_y = small_width / width, small_height / height
    # Pixel centres: the outer corner (-0.5, -0.5) stays where it is.
    reduce = np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])
    warped, mask = render_aligned(query, small, replace(alignment, homography=reduce @ alignment.homography))
    # The seam is half outside.
    inside = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    found = _geometry(query, reference, alignment)
    if inside.any():
        found |= _colours(warped.astype(np.float32), small.astype(np.float32), inside)
    return [change for change in Change if change in found]


def _geometry(query: RGB, reference: RGB, alignment: Alignment) -> set[Change]:
    found = set()
    if alignment.mirrored:
        found.add(Change.MIRRORED)
    linear = alignment.homography[:2, :2] / alignment.homography[2, 2]
    if alignment.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    turned = abs(float(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))))
    if turned > _TURNED:
        found.add(Change.ROTATED)
    if alignment.overlap_reference < 1 - _MISSING:
        found.add(Change.CROPPED)
    if alignment.overlap_query < 1 - _AROUND:
        framed = _framed(query, reference, alignment)
        if not framed:
            found.add(Change.PASTED)
        # A rotation leaves corners that nothing fills.
        elif Change.ROTATED not in found:
            found.add(Change.FRAMED)
    if abs(float(np.linalg.det(linear))) > _SMALLER**-2:
        found.add(Change.REDUCED)
    return found


def _framed(query: RGB, reference: RGB, alignment: Alignment) -> bool:
    """Whether the registered picture spans the query from side to side or from top to bottom, as between bars, or what
    surrounds it is of one colour."""
    height, width, _ = reference.shape
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    placed = cv2.perspectiveTransform(corners[None], np.linalg.inv(alignment.homography))[0]
    sides = np.array(query.shape[1::-1])
    least, most = placed.min(0) / sides, placed.max(0) / sides
    if np.any((least < _MISSING) & (most > 1 - _MISSING)):
        return True
    outside = np.ones(query.shape[:2], np.uint8)
    cv2.fillConvexPoly(outside, np.rint(placed).astype(np.int32), (0,))
    # The seam is a mixture of both.
    seam = max(3, round(0.01 * max(query.shape[:2]))) | 1
    outside = np.asarray(cv2.erode(outside, np.ones((seam, seam), np.uint8), borderValue=1), np.uint8)
    around = query[outside.astype(bool)]
    return not around.size or float(np.median(np.abs(around - np.median(around, axis=0)).max(1))) < _PLAIN


def _colours(copy: F32, original: F32, inside: Mask) -> set[Change]:
    found = set()
    if _chroma(copy, inside) < _GREY_CHROMA and _chroma(original, inside) > _COLOURED_CHROMA:
        found.add(Change.GREYSCALE)
        copy = np.asarray(np.repeat(copy.mean(2, keepdims=True), 3, 2), np.float32)
        original = np.asarray(np.repeat(original @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, 2), np.float32)
    # Averages over small squares know nothing of sharpness or noise.
    smooth_copy, smooth = (np.asarray(cv2.blur(picture, (9, 9)), np.float32) for picture in (copy, original))
    gap = np.abs(smooth_copy - smooth).max(2)[inside]
    if float(np.median(gap)) > _SHIFTED:
        found.add(Change.RECOLOURED)
    # Where a copy is less sharp, edges differ, and nothing was drawn over them.
    mapped = _recoloured(original, copy, inside)
    sigma, alike = min(
        ((sigma, _blurred(mapped, sigma)) for sigma in _BLURS),
        key=lambda pair: float(np.abs(copy - pair[1])[inside].mean()),
    )
    # What compression takes from a busy texture, such as grass, is as strong as noise, but weaker than the texture.
    if _noise(copy - alike, inside) > max(_NOISE, _NOISE_OF_TEXTURE * _noise(original, inside)):
        found.add(Change.NOISY)
    # Of a noisy picture sharpness cannot be told.
    elif sigma >= _BLURRED:
        found.add(Change.BLURRED)
    left = np.abs(_high(copy - alike, inside)).max(2)
    drawn = ((cv2.blur(left, (3, 3)) > _DRAWN) & inside).astype(np.uint8)
    # Edges that do not quite meet are thin.
    drawn = np.asarray(cv2.morphologyEx(drawn, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)), np.uint8)
    if drawn.sum() > _DRAWN_AREA * inside.sum():
        found.add(Change.DRAWN_OVER)
    return found


def _recoloured(original: F32, copy: F32, inside: Mask) -> F32:
    """Return the original in the colours of the copy: the best affine map of colours, then a tone curve a channel."""
    inputs = np.concatenate([original, np.ones_like(original[..., :1])], 2)
    matrix = np.linalg.lstsq(inputs[inside], copy[inside], rcond=None)[0]
    mapped = np.asarray(inputs @ matrix, np.float32)
    result = np.empty_like(mapped)
    levels = np.rint(mapped / 16).astype(np.intp)
    for channel in range(3):
        level, became = levels[..., channel][inside], copy[..., channel][inside]
        known = np.unique(level)
        medians = [float(np.median(became[level == each])) for each in known]
        result[..., channel] = np.interp(mapped[..., channel], 16 * known, medians)
    return result


def _blurred(picture: F32, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32) if sigma else picture


def _noise(picture: F32, inside: Mask) -> float:
    """Return the standard deviation of the noise in the noisiest channel, grey levels (Immerkær, Fast Noise Variance
    Estimation, 1996; by the median, so that edges which do not quite meet count little)."""
    within = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if not within.any():
        return 0.0
    steps = np.abs(cv2.filter2D(picture, -1, _NOISE_KERNEL))[within]
    return float(np.median(steps, axis=0).max()) / (6 * 0.6745)


def _high(residual: F32, inside: Mask) -> F32:
    """Return what is left inside without slow changes across the picture, such as a vignette."""
    weight = inside.astype(np.float32)[..., None]
    around, known = (cv2.blur(each, (_SLOW, _SLOW)) for each in (residual * weight, weight))
    return np.asarray((residual - around / np.maximum(known.reshape(weight.shape), 1e-6)) * weight, np.float32)


def _chroma(picture: F32, inside: Mask) -> float:
    """Return the mean distance of the largest from the smallest channel, grey levels."""
    return float(np.mean(np.ptp(picture[inside], axis=1)))
