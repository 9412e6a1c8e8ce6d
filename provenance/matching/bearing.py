"""Whether a picture is the one that a signature was given to, by a perceptual hash alone.

A signature can be lifted off one picture and added to another: it is then genuine, and says nothing of what it is on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from provenance.hashing.code import Fingerprint, HashCode, hamming
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher
from provenance.matching.policy import POLICIES, Policy

# Of the hashes that the product runs the one that edits move least.
SIGNED_HASH = "dinohash-house-v2"


@dataclass(frozen=True)
class Bearing:
    """How far a picture is from the one that a signature was given to.

    Attributes:
        distance: Hamming distance, the least over the picture's eight turned and mirrored variants, 0 to
            ``policy.length``.
        policy: of the hash, with its thresholds and how often different pictures come so near.
    """

    distance: int
    policy: Policy

    @property
    def same(self) -> bool:
        """Whether it is near enough to be the same picture, edited."""
        return self.distance <= self.policy.candidate_radius

    @property
    def near(self) -> bool:
        """Whether it is so near that this alone is all but sure."""
        return self.distance <= self.policy.near_radius

    def figures(self) -> dict[str, Any]:
        """Return the JSON of it."""
        rate = self.policy.false_match_rate(self.policy.candidate_radius)
        return {
            "hash_algorithm": self.policy.algorithm,
            "distance": self.distance,
            "bits": self.policy.length,
            "near_radius": self.policy.near_radius,
            "candidate_radius": self.policy.candidate_radius,
            "different_within_candidate_radius": float(f"{rate.measured:.3g}"),
            "different_within_candidate_radius_at_most": float(f"{rate.upper_bound:.3g}"),
        }


def hasher_of(algorithm: str) -> Hasher:
    """Return the hasher of an algorithm that signatures are, or were, bound by.

    Raises:
        KeyError: this program has none of that name.
    """
    return HASHERS[algorithm] if algorithm in HASHERS else RETIRED[algorithm].hasher


def signed_hash(pixels: npt.NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint that a signature of a picture, uint8 ``[H,W,3]``, is bound to.

    Raises:
        provenance.models.errors.ModelMissing: the hash's weights are not here.
    """
    return HASHERS[SIGNED_HASH].hash([pixels])[0]


def bearing(codes: Sequence[HashCode], original: HashCode) -> Bearing:
    """Return how far a picture is, given by its eight codes, from the one that was signed, given by its code.

    Raises:
        ValueError: they are of different algorithms or lengths, or there are none.
        KeyError: nothing was measured of that algorithm.
    """
    return Bearing(min(hamming(code, original) for code in codes), POLICIES[original.algorithm])
