"""The eight ways in which a rectangle lies on itself: four turns, and the same mirrored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

# In the order of dihedral(): what was done to the picture.
TRANSFORMS = (
    "as it is",
    "turned 90°",
    "turned 180°",
    "turned 270°",
    "mirrored",
    "mirrored and turned 90°",
    "mirrored and turned 180°",
    "mirrored and turned 270°",
)


def dihedral(picture: RGB) -> list[RGB]:
    """Return the eight variants of a uint8 [H,W,3] picture in the order of :data:`TRANSFORMS`, identity first.

    Turns are counter-clockwise; a mirrored variant is first flipped left to right, then turned.
    """
    flipped = picture[:, ::-1]
    turned = [np.rot90(source, quarter) for source in (picture, flipped) for quarter in range(4)]
    return [np.ascontiguousarray(variant) for variant in turned]
