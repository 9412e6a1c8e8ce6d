"""The index in memory: the cases of every index, and codes that do not fill whole words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from provenance.matching.index import HashIndex, MemoryIndex
from tests.index_cases import Backend, brute_force, every_case, random_codes


class Memory:
    """Keeps indexes in memory; its ids are numbers."""

    def __init__(self) -> None:
        self._made = 0

    def index(self, algorithm: str, length: int) -> HashIndex:
        return MemoryIndex(algorithm, length)

    def ids(self, count: int) -> list[Any]:
        first, self._made = self._made + 1, self._made + count
        return [number * 48_271 % 2_147_483_647 for number in range(first, self._made + 1)]

    def settle(self) -> None:
        """Nothing is put off."""


@every_case
def test_case(case: Callable[[Backend], None]) -> None:
    case(Memory())


@pytest.mark.parametrize("length", [8, 96, 104])
def test_codes_of_any_length(length: int) -> None:
    stored, query = random_codes(1, "a-v1", length, 300), random_codes(2, "a-v1", length, 8)
    index = MemoryIndex("a-v1", length)
    index.add(range(300), stored)
    for radius in range(0, length + 1, 4):
        assert index.search(query, radius) == brute_force(range(300), stored, query, radius)


def test_blocks_meet_without_a_gap() -> None:
    """Entries on both sides of every block's edge are found."""
    (code,), others = random_codes(1, "a-v1", 64, 1), random_codes(2, "a-v1", 64, 140_000)
    edges = [0, 65_535, 65_536, 131_071, 131_072, 139_999]
    for row in edges:
        others[row] = code
    index = MemoryIndex("a-v1", 64)
    index.add(range(140_000), others)
    assert [found.id for found in index.search(code, 0)] == edges
    assert len(index) == 140_000
