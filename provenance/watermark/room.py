"""Which pictures have room for a signature, by their size alone."""

from __future__ import annotations

from provenance.watermark.networks import SMALLEST_SIDE
from provenance.watermark.sign import CannotBeSigned

LONGEST_TO_SHORTEST = 6


def see_room(height: int, width: int) -> None:
    """See whether a picture of this size can be signed.

    Raises:
        CannotBeSigned: a side has fewer than 64 pixels, or one is more than six times the other.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise CannotBeSigned(f"A signature needs {SMALLEST_SIDE} pixels a side; this picture has {width} x {height}.")
    if max(height, width) > LONGEST_TO_SHORTEST * min(height, width):
        raise CannotBeSigned(
            f"The longer side may be {LONGEST_TO_SHORTEST} times the shorter one; this picture has {width} x {height}."
        )
