"""The index in memory, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from provenance.hashing.code import HashCode, hamming
from provenance.matching.index import Candidate, MemoryIndex


def codes_of(count: int, seed: int, length: int = 96) -> list[HashCode]:
    packed = np.random.default_rng(seed).integers(0, 256, (count, length // 8), dtype=np.uint8)
    return [HashCode("a-v1", row.tobytes(), length) for row in packed]


def flipped(code: HashCode, bits: int, seed: int) -> HashCode:
    array = np.unpackbits(np.frombuffer(code.bits, dtype=np.uint8))
    array[np.random.default_rng(seed).choice(array.size, bits, replace=False)] ^= 1
    return HashCode.from_array("a-v1", array)


def brute_force(stored: list[HashCode], queries: list[HashCode], radius: int) -> list[Candidate]:
    found = []
    for index, code in enumerate(stored):
        distance, variant = min((hamming(query, code), number) for number, query in enumerate(queries))
        if distance <= radius:
            found.append(Candidate(index, distance, variant))
    return sorted(found, key=lambda candidate: (candidate.distance, candidate.id))


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("radius", [0, 24, 40, 96])
@pytest.mark.parametrize("length", [64, 96, 256])
def test_it_finds_what_brute_force_finds(count: int, radius: int, length: int) -> None:
    stored, queries = codes_of(count, 1, length), codes_of(8, 2, length)
    if count:
        queries[3] = stored[count // 2]
    index = MemoryIndex("a-v1", length)
    index.add(range(count), stored)
    assert index.search(queries, radius) == brute_force(stored, queries, radius)
    assert index.search(queries[0], radius) == brute_force(stored, queries[:1], radius)


def test_recall_is_one_at_100_000() -> None:
    stored = codes_of(100_000, 3)
    numbers = range(0, 99_000, 4125)
    planted = {number: flipped(stored[number], distance, number) for distance, number in enumerate(numbers)}
    index = MemoryIndex("a-v1", 96)
    index.add(range(len(stored)), stored)
    for distance, (number, query) in enumerate(planted.items()):
        assert Candidate(number, distance) in index.search(query, 24)


def test_the_limit_keeps_the_nearest() -> None:
    stored = codes_of(500, 4)
    index = MemoryIndex("a-v1", 96)
    index.add(range(500), stored)
    everything = index.search(stored[0], 60)
    assert index.search(stored[0], 60, limit=7) == everything[:7]
    assert [candidate.distance for candidate in everything] == sorted(candidate.distance for candidate in everything)


def test_removed_entries_are_not_found() -> None:
    stored = codes_of(5, 5)
    index = MemoryIndex("a-v1", 96)
    index.add("abcde", stored)
    index.remove(["c", "not there"])
    assert index.search(stored[2], 0) == []
    assert [candidate.id for candidate in index.search(stored[3], 0)] == ["d"]
    assert len(index) == 4


def test_foreign_codes_are_refused() -> None:
    index = MemoryIndex("a-v1", 96)
    with pytest.raises(ValueError, match="does not belong"):
        index.add([1], codes_of(1, 1, 64))
    with pytest.raises(ValueError, match="does not belong"):
        index.search(HashCode("b-v1", b"\0" * 12, 96), 3)
    with pytest.raises(ValueError, match="ids for"):
        index.add([1, 2], codes_of(1, 1))
