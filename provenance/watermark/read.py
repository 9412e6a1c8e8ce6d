"""Read a signature out of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provenance.watermark.geometry import Placement, bit_values, placements
from provenance.watermark.networks import RGB, SMALLEST_SIDE, expected_pattern
from provenance.watermark.payload import Payload, decode

# Placements whose bits are decoded; with 40 bits of tag, what a picture without a signature has of a chance.
PLACEMENTS_TRIED = 4
FALSE_ACCEPTANCE = PLACEMENTS_TRIED / 2**40


@dataclass(frozen=True)
class Reading:
    """What was read at one placement.

    Attributes:
        placement: of the pattern in the picture.
        payload: the likeliest one. Noise gives one too: only its tag tells.
        fit: correlation of the payload's code word with the bits' soft values, -1 to 1.
    """

    placement: Placement
    payload: Payload
    fit: float


def read(pixels: RGB) -> tuple[Reading, ...]:
    """Return what a picture, uint8 ``[H,W,3]``, may say, the likeliest first; nothing for one too small to look at.

    Raises:
        provenance.models.errors.ModelMissing: the networks are not here.
    """
    if min(pixels.shape[:2]) < SMALLEST_SIDE // 2:
        return ()
    found = expected_pattern(pixels)
    readings = []
    for placed in placements(found, PLACEMENTS_TRIED):
        payload, fit = decode(bit_values(found, placed))
        readings.append(Reading(placed, payload, fit))
    return tuple(readings)


def genuine(readings: tuple[Reading, ...], is_genuine: Callable[[Payload], bool]) -> Reading | None:
    """Return the first reading whose payload somebody who has the key vouches for."""
    return next((reading for reading in readings if is_genuine(reading.payload)), None)
