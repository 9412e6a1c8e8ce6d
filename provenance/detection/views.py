"""What the detector looks at: a picture levelled to one size and one compression, and squares of it.

Photographs and generated pictures reach us in other sizes and formats, which say nothing of who made them and
everything of where they come from. So every picture, to be learnt from or to be judged, is first made a thumbnail of
one short side, saved as JPEG of one quality. That takes away the finest traces of a generator, which the next network
to post the picture takes away too; what is left is seen the same in all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.images.decode import decode, encode_jpeg

RGB = npt.NDArray[np.uint8]

SHORT_SIDE = 224
QUALITY = 70
# Sides of the squares as shares of the short side, and the most of one size along a side.
_SHARES = (1.0, 0.7)
_MOST = 4
# Below these there is nothing to judge: pixels of the short side; standard deviation in grey levels. Nor where the long
# side is more than so many short ones: what squares see of that is a small part, and its thumbnail fits in no JPEG.
LEAST_SIDE = 96
_LEAST_DEVIATION = 6.0
_LONGEST = 8


@dataclass(frozen=True)
class Box:
    """Where a square lies, as shares of the picture's width and height, 0..1."""

    left: float
    top: float
    width: float
    height: float


def levelled(pixels: RGB) -> RGB:
    """Return a picture, uint8 ``[H, W, 3]`` sRGB, with a short side of :data:`SHORT_SIDE`, through JPEG."""
    height, width, _ = pixels.shape
    scale = SHORT_SIDE / min(height, width)
    size = max(SHORT_SIDE, round(width * scale)), max(SHORT_SIDE, round(height * scale))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return decode(encode_jpeg(small, quality=QUALITY)).pixels


def boxes(height: int, width: int) -> list[Box]:
    """Return the squares of a picture of that size: whole ones along it first, then smaller ones that overlap."""
    short = min(height, width)
    found = []
    for share in _SHARES:
        side = share * short
        for top in _places(height, side):
            for left in _places(width, side):
                found.append(Box(left / width, top / height, side / width, side / height))
    return found


def cut(pixels: RGB, box: Box, side: int) -> RGB:
    """Return what is in a box, uint8 ``[side, side, 3]``, bicubic."""
    height, width, _ = pixels.shape
    left, top = box.left * width, box.top * height
    right, bottom = min(width, left + box.width * width), min(height, top + box.height * height)
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    return np.asarray(image)


def why_nothing(pixels: RGB) -> str | None:
    """Say why a picture cannot be judged, None if it can: ``"small"``, ``"long"`` or ``"plain"``."""
    short, long = sorted(pixels.shape[:2])
    if short < LEAST_SIDE:
        return "small"
    if long > _LONGEST * short:
        return "long"
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((64, 64), Image.Resampling.BOX), np.float32)
    return "plain" if float(grey.std()) < _LEAST_DEVIATION else None


def _places(length: int, side: float) -> list[float]:
    count = min(_MOST, math.ceil(length / side - 1e-9))
    return [0.0] if count == 1 else [float(place) for place in np.linspace(0, length - side, count)]
