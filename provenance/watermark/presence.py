"""Whether a picture has a signature of this pattern at all, whether or not its bits can still be read.

Fitted by ``provenance.training.signature_presence`` to 100 tuning pictures, each unsigned and signed by one pass of the
injector, after the same edits. Of 200 unsigned ones none came to :data:`LIKELY`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from provenance.watermark.read import Reading

_SLOPE, _INTERCEPT = 1.813, -9.826
LIKELY = 0.75


def strength(readings: Sequence[Reading]) -> float:
    """Return how far the pattern stands out, in standard deviations of its fixed waves; 0 for no reading."""
    return max((reading.placement.sync for reading in readings), default=0.0)


def presence(readings: Sequence[Reading]) -> float:
    """Return the probability, 0 to 1, that a picture was signed, by whatever key, if as many were as not (Platt)."""
    return 1 / (1 + math.exp(-(_SLOPE * strength(readings) + _INTERCEPT)))
