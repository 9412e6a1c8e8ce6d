"""A pair of pictures: is one a copy, whole or in part, of the other? Decided by geometry and grey values.

A candidate becomes a match here and nowhere else. Key points that agree on one map are counted, and the grey values
under that map are compared: two photographs of one scene seldom pass the second test, a copy hidden under text or a
filter seldom fails the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from provenance.images.align import Alignment, Features, align_features, features

RGB = npt.NDArray[np.uint8]

VERSION = "verify-v1"


class PairKind(StrEnum):
    """What verification says of a pair."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    REJECTED = "rejected"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True)
class Thresholds:
    """What a pair must reach. Chosen on pairs of the tuning half (``provenance.training.verification_rates``).

    The weaker answer also takes in consecutive photographs of a scene and two prints of one design.

    Attributes:
        verified_inliers: key points that agree on the map, at least.
        verified_similarity: zero-mean normalised cross-correlation in the overlap, -1..1, at least.
        many_inliers: with so many, ``many_similarity`` is enough: a filter or text changes grey values, not places.
        many_similarity: as ``verified_similarity``.
        partial_inliers: for the weaker answer.
        partial_similarity: as ``verified_similarity``.
        overlap: area in common as a fraction of the smaller part, at least.
    """

    verified_inliers: int = 16
    verified_similarity: float = 0.9
    many_inliers: int = 80
    many_similarity: float = 0.6
    partial_inliers: int = 12
    partial_similarity: float = 0.6
    overlap: float = 0.05


THRESHOLDS = Thresholds()

# Measured on the held-out half: the 10,000 pairs of different files that come nearest by hash or are of one Caltech
# class. 23 were verified; of these 21, looked at one by one, show one source picture and are no impostors. The two
# left are photographs of one scene taken moments apart. benchmarks/results/verified_hard_pairs.json lists all 23.
HARD_PAIRS = 9_979
FALSE_VERIFICATIONS = 2


def false_verification_rate() -> tuple[float, float]:
    """Return how often hard pairs of different pictures are verified: measured share, 95 % upper bound, 0..1.

    Pairs drawn at random are easier by far. The bound is that of Clopper and Pearson (1934), one-sided.
    """
    bound = betaincinv(FALSE_VERIFICATIONS + 1, HARD_PAIRS - FALSE_VERIFICATIONS, 0.95)
    return FALSE_VERIFICATIONS / HARD_PAIRS, float(bound)


@dataclass(frozen=True)
class PairVerdict:
    """What verification found.

    Attributes:
        kind: verified, partial, rejected or undecidable (a picture has too few key points to tell).
        alignment: how the query lies in the reference, where a map was found.
        reasons: sentences with the figures that decided.
        version: of the method and its thresholds.
        thresholds: that were applied.
    """

    kind: PairKind
    alignment: Alignment | None
    reasons: list[str]
    version: str = VERSION
    thresholds: Thresholds = field(default=THRESHOLDS)


def verify_pair(query: RGB, reference: RGB) -> PairVerdict:
    """Verify a pair of uint8 [H,W,3] sRGB pictures; deterministic."""
    return verify_features(features(query), features(reference))


def verify_features(query: Features, reference: Features) -> PairVerdict:
    """As :func:`verify_pair`, for pictures described before: one query is described once for many references."""
    for picture, name in ((query, "The picture asked about"), (reference, "The registered picture")):
        if not picture.enough:
            count = len(picture.points)
            return PairVerdict(PairKind.UNDECIDABLE, None, [f"{name} has only {count} key points: too plain to align."])
    found = align_features(query, reference)
    if found is None:
        return PairVerdict(PairKind.REJECTED, None, ["No part of one lies in the other."])
    t = THRESHOLDS
    overlap = max(found.overlap_query, found.overlap_reference)
    figures = (
        f"{found.inliers} of {found.matches} key points agree on one map; grey values correlate by"
        f" {found.similarity:.2f}; the common part is {found.overlap_query:.0%} of the picture asked about and"
        f" {found.overlap_reference:.0%} of the registered one."
    )
    if overlap < t.overlap:
        kind = PairKind.REJECTED
    elif (found.inliers >= t.verified_inliers and found.similarity >= t.verified_similarity) or (
        found.inliers >= t.many_inliers and found.similarity >= t.many_similarity
    ):
        kind = PairKind.VERIFIED
    elif found.inliers >= t.partial_inliers and found.similarity >= t.partial_similarity:
        kind = PairKind.PARTIAL
    else:
        kind = PairKind.REJECTED
    return PairVerdict(kind, found, [figures])
