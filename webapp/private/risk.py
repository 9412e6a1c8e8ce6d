"""How often a private catalogue is wrong by chance. Nothing verifies its answers: this is all there is to say."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.hashing.hasher import HASHERS
from provenance.matching.policy import POLICIES
from provenance.private_lookup.scheme import CODE_LENGTHS, MAX_TAU, MOST_FALSE_HITS, largest_tau
from webapp.checks.card_figures import how_often

DEFAULT_ALGORITHM = "pdq-v1"
SIZES = (100, 1_000, 10_000, 30_000)


@dataclass(frozen=True)
class Risk:
    """Attributes:
    measured: entries of other pictures that a question is expected to meet by chance, from measured pairs.
    bound: 95 % bound on it.
    pairs: of different pictures that were measured.
    too_many: whether that is more than an answer that nothing verifies should have.
    """

    algorithm: str
    bits: int
    tau: int
    entries: int
    measured: float
    bound: float
    pairs: int

    @property
    def measured_words(self) -> str:
        return how_often(self.measured)

    @property
    def bound_words(self) -> str:
        return how_often(self.bound)

    @property
    def too_many(self) -> bool:
        return self.measured > MOST_FALSE_HITS


def offered() -> list[str]:
    """Return the algorithms whose codes are encrypted, those with the longest codes first."""
    found = [name for name, hasher in HASHERS.items() if hasher.length in CODE_LENGTHS]
    return sorted(found, key=lambda name: (-HASHERS[name].length, name))


def risk(algorithm: str, tau: int, entries: int) -> Risk:
    """Return what chance does to a question about so many entries."""
    rate = POLICIES[algorithm].false_match_rate(tau)
    length = HASHERS[algorithm].length
    return Risk(algorithm, length, tau, entries, entries * rate.measured, entries * rate.upper_bound, rate.pairs)


def best_tau(algorithm: str, entries: int) -> int | None:
    """Return the largest threshold that keeps false hits rare; None where chance alone brings too many."""
    rates = [POLICIES[algorithm].false_match_rate(distance).measured for distance in range(MAX_TAU + 1)]
    return largest_tau(rates, entries)


def table() -> list[Risk]:
    """Return what each hash allows at usual sizes, at the threshold that would be chosen."""
    return [
        risk(algorithm, tau, entries)
        for algorithm in offered()
        for entries in SIZES
        if (tau := best_tau(algorithm, entries)) is not None
    ]
