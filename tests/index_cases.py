"""What every index must do, as functions that any backend can be put through: the one in memory, the one in SQL.

A backend makes empty indexes and ids that may be added to them. Codes are drawn from seeded generators; what must be
found is worked out by comparing with every code, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pytest

from provenance.hashing.code import HashCode, hamming
from provenance.matching.index import Candidate, HashIndex

KINDS = (("pdq-v1", 256), ("phash-v1", 64))


class Backend(Protocol):
    """Something that keeps indexes."""

    def index(self, algorithm: str, length: int) -> HashIndex:
        """Return an empty index."""

    def ids(self, count: int) -> list[Any]:
        """Return so many new ids, in no particular order."""

    def settle(self) -> None:
        """Called once many entries were added, before they are searched."""


def random_codes(seed: int, algorithm: str, length: int, count: int) -> list[HashCode]:
    """Return codes of fair, independent bits."""
    rows = np.random.default_rng(seed).integers(0, 256, (count, length // 8), dtype=np.uint8)
    return [HashCode(algorithm, row.tobytes(), length) for row in rows]


def flipped(code: HashCode, bits: Sequence[int]) -> HashCode:
    """Return the code with these bits, counted from the last, turned over."""
    value = int.from_bytes(code.bits, "big")
    for bit in bits:
        value ^= 1 << bit
    return HashCode(code.algorithm, value.to_bytes(code.length // 8, "big"), code.length)


def brute_force(
    ids: Sequence[Any], stored: Sequence[HashCode], query: Sequence[HashCode], radius: int
) -> list[Candidate]:
    """Return what a search must: every entry within the radius, the nearest variant named, the first of equals."""
    found = []
    for entry, code in zip(ids, stored, strict=True):
        distance, variant = min((hamming(one, code), number) for number, one in enumerate(query))
        if distance <= radius:
            found.append(Candidate(entry, distance, variant))
    return sorted(found, key=lambda candidate: (candidate.distance, candidate.id))


def _filled(backend: Backend, algorithm: str, length: int, codes: Sequence[HashCode]) -> tuple[HashIndex, list[Any]]:
    index, ids = backend.index(algorithm, length), backend.ids(len(codes))
    index.add(ids, codes)
    return index, ids


def _finds_what_brute_force_finds(backend: Backend, count: int) -> None:
    for algorithm, length in KINDS:
        codes, query = random_codes(count, algorithm, length, count), random_codes(9, algorithm, length, 8)
        if count:
            query[3] = codes[count // 2]
        index, ids = _filled(backend, algorithm, length, codes)
        for radius in (-1, 0, length // 3, length // 2, length):
            expected = brute_force(ids, codes, query, radius)
            assert index.search(query, radius) == expected
            assert index.search(query, radius, 3) == expected[:3]
            assert index.search(query, radius, 0) == []
            assert index.search(query[0], radius) == brute_force(ids, codes, query[:1], radius)


def nothing_is_found_in_an_empty_index(backend: Backend) -> None:
    _finds_what_brute_force_finds(backend, 0)


def one_entry(backend: Backend) -> None:
    _finds_what_brute_force_finds(backend, 1)


def two_entries(backend: Backend) -> None:
    _finds_what_brute_force_finds(backend, 2)


def hundreds_of_entries(backend: Backend) -> None:
    _finds_what_brute_force_finds(backend, 257)


def thirty_thousand_entries_lose_nothing(backend: Backend) -> None:
    """Neighbours planted before, at and past the radius; every answer is that of brute force."""
    for algorithm, length in KINDS:
        count, radius = 30_000, length // 8
        chosen = np.random.default_rng(count)
        codes, query = random_codes(1, algorithm, length, count), random_codes(2, algorithm, length, 8)
        for number in range(64):
            bits = chosen.permutation(length)[: radius - 3 + number % 6]
            codes[int(chosen.integers(count))] = flipped(query[number % 8], bits.tolist())
        index, ids = _filled(backend, algorithm, length, codes)
        backend.settle()
        expected = brute_force(ids, codes, query, radius)
        assert 35 <= len(expected) <= 45, "two thirds of the planted ones lie within, and hardly any other does"
        assert index.search(query, radius) == expected
        assert index.search(query, radius, 5) == expected[:5]
        assert index.search(query[0], radius) == brute_force(ids, codes, query[:1], radius)


def of_variants_equally_near_the_first_is_named(backend: Backend) -> None:
    (code,) = random_codes(1, "pdq-v1", 256, 1)
    index, (entry,) = _filled(backend, "pdq-v1", 256, [code])
    far = flipped(code, range(40))
    query = [far, flipped(code, [1, 2]), far, flipped(code, [5, 9])]
    assert index.search(query, 30) == [Candidate(entry, 2, 1)]


def equal_distances_come_in_the_order_of_ids(backend: Backend) -> None:
    (code,) = random_codes(2, "phash-v1", 64, 1)
    index, ids = _filled(backend, "phash-v1", 64, [code] * 40)
    assert [found.id for found in index.search(code, 0)] == sorted(ids)
    assert [found.id for found in index.search(code, 0, 7)] == sorted(ids)[:7]


def adding_again_replaces_and_removing_forgets(backend: Backend) -> None:
    first, second, third = random_codes(3, "phash-v1", 64, 3)
    index, ids = _filled(backend, "phash-v1", 64, [first, second])
    index.add(ids[:1], [third])
    assert index.search(first, 0) == []
    assert index.search(third, 0) == [Candidate(ids[0], 0)]
    index.remove([ids[0], *backend.ids(1)])
    assert [found.id for found in index.search([first, second, third], 64)] == [ids[1]]
    index.remove(ids)
    assert index.search(second, 64) == []


def what_does_not_belong_is_refused(backend: Backend) -> None:
    (wide,), (narrow,) = random_codes(4, "pdq-v1", 256, 1), random_codes(4, "phash-v1", 64, 1)
    index, (entry,) = backend.index("phash-v1", 64), backend.ids(1)
    for stranger in (wide, HashCode("phash-v2", narrow.bits, 64)):
        with pytest.raises(ValueError, match="does not belong"):
            index.search(stranger, 10)
        with pytest.raises(ValueError, match="does not belong"):
            index.add([entry], [stranger])
    with pytest.raises(ValueError, match="ids for"):
        index.add([], [narrow])
    assert index.search(narrow, 64) == []
    assert index.search([], 64) == []


CASES: tuple[Callable[[Backend], None], ...] = (
    nothing_is_found_in_an_empty_index,
    one_entry,
    two_entries,
    hundreds_of_entries,
    thirty_thousand_entries_lose_nothing,
    of_variants_equally_near_the_first_is_named,
    equal_distances_come_in_the_order_of_ids,
    adding_again_replaces_and_removing_forgets,
    what_does_not_belong_is_refused,
)

every_case = pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
