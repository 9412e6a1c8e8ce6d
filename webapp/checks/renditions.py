"""Pictures of a verified pair to look at: the registered one reduced, the other laid over it, their difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from provenance.images.align import Alignment, difference, render_aligned
from provenance.images.decode import encode_jpeg, thumbnail
from webapp.checks.storage import Rendition

RGB = npt.NDArray[np.uint8]

SIDE = 1200


def make_renditions(query: RGB, reference: RGB, alignment: Alignment) -> dict[Rendition, bytes]:
    """Return JPEG bytes of every rendition, all of one size: the reference's, at most ``SIDE`` a side.

    Args:
        query, reference: [H,W,3] uint8 sRGB, the pair that was aligned.
    """
    small = thumbnail(reference, SIDE)
    (height, width, _), (small_height, small_width, _) = reference.shape, small.shape
    scale_x, scale_y = small_width / width, small_height / height
    # Pixel centres: the outer corner (-0.5, -0.5) stays where it is.
    reduce = np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])
    warped, mask = render_aligned(query, small, replace(alignment, homography=reduce @ alignment.homography))
    return {
        Rendition.REFERENCE: encode_jpeg(small, quality=85),
        Rendition.QUERY: encode_jpeg(warped, quality=85),
        Rendition.DIFFERENCE: encode_jpeg(difference(warped, small, mask), quality=85),
    }
