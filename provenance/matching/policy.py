"""Thresholds and their chance of being wrong, from distances that were measured on different pictures.

A search compares the eight dihedral variants of a query with each stored code; the curves were measured the same
way (``provenance.training.impostor_curves``). The binomial model stands beside each figure, never in its place. Radii
are those that were published or are usual where there are such; those of our own hash come from its curve.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from scipy.special import betaincinv

from provenance.hashing.code import chance_fpr
from provenance.hashing.deephash import DEEP_HASHES
from provenance.hashing.descriptor import COSINE_STEPS, DESCRIPTOR

_CURVES = Path(__file__).parent / "curves"
_CONFIDENCE = 0.95
_VARIANTS = 8
CANDIDATE_RATE = 1e-4
NEAR_RATE = 1e-6
# The nearest few are looked at, wherever they lie: heavy edits put a copy no nearer than every hundredth stranger.
DESCRIPTOR_CANDIDATE_RATE = 1e-2
# So many are laid over the picture at most, the nearest first, and these in any case: each costs a quarter of a second.
# Once one explains the query, of those after them only what is near by itself is looked at, such as further
# registrations.
MOST_VERIFIED = 20
ALWAYS_VERIFIED = 5


@dataclass(frozen=True)
class FalseMatchRate:
    """How often a registered picture that is no copy of the query comes within a distance.

    Attributes:
        measured: share of the measured impostor pairs, 0..1; 0 where none came so near.
        upper_bound: one-sided 95 % Clopper-Pearson bound on the true share, 0..1, with pairs taken as independent;
            those that share a picture are not quite.
        binomial: what fair and independent bits would give (theoretical), times the variants searched, 0..1; None for
            what has no bits.
        pairs: impostor pairs measured.
    """

    measured: float
    upper_bound: float
    binomial: float | None
    pairs: int


@dataclass(frozen=True)
class ExpectedFalseCandidates:
    """Registered pictures that are no copies and still come within a distance, a query: mean numbers, >= 0."""

    measured: float
    upper_bound: float
    binomial: float | None


def upper_bound(wrong: int, pairs: int) -> float:
    """Return the one-sided 95 % bound of Clopper and Pearson (1934) on a rate, 0..1, of which ``wrong`` of ``pairs``
    independent trials were seen."""
    return 1.0 if wrong >= pairs else float(betaincinv(wrong + 1, pairs - wrong, _CONFIDENCE))


@dataclass(frozen=True)
class Policy:
    """How codes of one algorithm are judged, or vectors: their distance is 1 - cosine in thousandths, rounded.

    Attributes:
        algorithm: versioned id.
        length: bits of a code; of vectors, the largest distance.
        candidate_radius: distance up to which verification looks at a pair.
        near_radius: distance up to which a pair counts as near by itself (published or usual threshold).
        source: where ``near_radius`` is from.
        bits: whether distances count bits.
        variants: codes of a query that a search compares.
        curve: pairs of different pictures at each distance, 0 to ``length``, where the package has no curve of the
            algorithm.
    """

    algorithm: str
    length: int
    candidate_radius: int
    near_radius: int
    source: str
    bits: bool = True
    variants: int = _VARIANTS
    curve: tuple[int, ...] | None = None

    def is_near(self, distance: int) -> bool:
        """Return whether a pair counts as near by itself in a check's verdict.

        Of a curve that is not the package's it does only where there are pairs enough to tell one in a million: what
        few vouch for shall keep nobody's check from a verdict.
        """
        vouched = self.curve is None or NEAR_RATE * sum(self.curve) >= 1
        return vouched and distance <= self.near_radius

    def false_match_rate(self, tau: int) -> FalseMatchRate:
        """Return the rate at which different pictures come within ``tau`` (0..length)."""
        histogram, pairs = _curve(self.algorithm) if self.curve is None else (self.curve, sum(self.curve))
        within = sum(histogram[: max(0, tau + 1)])
        return FalseMatchRate(
            measured=within / pairs,
            upper_bound=upper_bound(within, pairs),
            binomial=min(1.0, self.variants * chance_fpr(self.length, tau)) if self.bits else None,
            pairs=pairs,
        )

    def expected_false_candidates(self, registry_size: int, tau: int) -> ExpectedFalseCandidates:
        """Return how many of ``registry_size`` pictures are expected within ``tau`` of a query by chance."""
        rate = self.false_match_rate(tau)
        return ExpectedFalseCandidates(
            measured=registry_size * rate.measured,
            upper_bound=registry_size * rate.upper_bound,
            binomial=None if rate.binomial is None else registry_size * rate.binomial,
        )

    def rarity(self, distance: int) -> tuple[float, float]:
        """Return how rare it is that different pictures come so near: what comes first is looked at first, whichever
        algorithm found it.

        Of a curve that is not the package's the bound counts: one of few pairs would put everything first.
        """
        rate = self.false_match_rate(distance)
        rare = rate.measured if self.curve is None else rate.upper_bound
        return rare, distance / max(1, self.candidate_radius)


def derived(
    algorithm: str,
    length: int,
    *,
    bits: bool = True,
    candidate_rate: float = CANDIDATE_RATE,
    variants: int = _VARIANTS,
    curve: tuple[int, ...] | None = None,
) -> Policy:
    """Return the policy that an algorithm's own curve gives, the package's or that given.

    The radii are the largest at which at most so many impostor pairs are candidates, and at most one in a million is
    near; of fewer pairs none. Though they are read off the pairs themselves, the bounds of :class:`FalseMatchRate` hold
    at them, as they do at any order statistic (Wilks 1941).
    """
    histogram, pairs = _curve(algorithm) if curve is None else (curve, sum(curve))
    near_pairs = f"at most one in {round(1 / NEAR_RATE):,}" if NEAR_RATE * pairs >= 1 else "nearer than any"
    candidate, near = (_largest_within(histogram, rate * pairs) for rate in (candidate_rate, NEAR_RATE))
    return Policy(
        algorithm,
        length,
        candidate_radius=candidate,
        near_radius=near,
        source=f"measured: {near_pairs} of {pairs:,} pairs of different pictures",
        bits=bits,
        variants=variants,
        curve=curve,
    )


def _largest_within(histogram: Sequence[int], most: float) -> int:
    """Return the largest distance within which there are at most so many pairs."""
    return next(tau for tau, within in enumerate(accumulate(histogram)) if within > most) - 1


@cache
def _curve(algorithm: str) -> tuple[tuple[int, ...], int]:
    stored: dict[str, Any] = json.loads((_CURVES / f"{algorithm}.json").read_text(encoding="utf-8"))
    return tuple(stored["histogram"]), int(stored["pairs"])


POLICIES: dict[str, Policy] = {
    policy.algorithm: policy
    for policy in (
        Policy(
            "pdq-v1",
            256,
            candidate_radius=90,
            near_radius=31,
            source="ThreatExchange's PDQ paper, 2019: 31 of 256",
        ),
        Policy(
            "phash-v1",
            64,
            candidate_radius=12,
            near_radius=8,
            source="usual for pHash: 8 of 64",
        ),
        derived("dinohash-house-v1", 96),
        derived("dinohash-house-v2", 96),
    )
}

DESCRIPTOR_POLICY = derived(DESCRIPTOR.algorithm, COSINE_STEPS, bits=False, candidate_rate=DESCRIPTOR_CANDIDATE_RATE)


def deep_policy(algorithm: str) -> Policy:
    """Return how codes of a shipped deep hash are judged; of a query there is one code.

    Raises:
        KeyError: there is no such hash.
    """
    return derived(algorithm, DEEP_HASHES[algorithm].length, variants=1)
