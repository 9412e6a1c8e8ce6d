"""Exact search by Hamming radius: what an index must do, and one in memory that does it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from provenance.hashing.code import HashCode

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Candidate:
    """An entry within the radius.

    Attributes:
        id: as it was added.
        distance: Hamming distance to the nearest of the query's codes.
        variant: which of the query's codes that was, counted from 0.
    """

    id: Any
    distance: int
    variant: int = 0


class HashIndex(Protocol):
    """Finds every entry within a radius (recall 1.0) among codes of one algorithm."""

    def add(self, ids: Sequence[Hashable], codes: Sequence[HashCode]) -> None:
        """Add entries; they are found from the next search on. An id that is there already gets the new code.

        Raises:
            ValueError: a code of another algorithm or length, or not as many ids as codes.
        """

    def remove(self, ids: Iterable[Hashable]) -> None:
        """Remove entries; ids that are not there are passed over."""

    def search(self, query: HashCode | Sequence[HashCode], radius: int, limit: int | None = None) -> list[Candidate]:
        """Return all entries whose distance to any of the query's codes is at most ``radius``.

        Sorted by distance, then id; ``limit`` keeps the first so many of them.

        Raises:
            ValueError: a code of another algorithm or length.
        """


class MemoryIndex:
    """A :class:`HashIndex` over numpy arrays: one pass of XOR and popcount for each code of a query."""

    def __init__(self, algorithm: str, length: int) -> None:
        self.algorithm = algorithm
        self.length = length
        self._ids: list[Any] = []
        self._known: set[Any] = set()
        self._codes: npt.NDArray[np.uint64] = np.empty((0, self._words), dtype=np.uint64)

    @property
    def _words(self) -> int:
        return -(-self.length // 64)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[Hashable], codes: Sequence[HashCode]) -> None:
        """See :meth:`HashIndex.add`."""
        if len(ids) != len(codes):
            raise ValueError(f"{len(ids)} ids for {len(codes)} codes")
        packed = [self._pack(code) for code in codes]
        if packed:
            if not self._known.isdisjoint(ids):
                self.remove(ids)
            self._known.update(ids)
            self._codes = np.concatenate([self._codes, np.stack(packed)])
            self._ids.extend(ids)

    def remove(self, ids: Iterable[Hashable]) -> None:
        """See :meth:`HashIndex.remove`."""
        gone = set(ids)
        kept = [row for row, entry in enumerate(self._ids) if entry not in gone]
        self._codes = self._codes[kept]
        self._ids = [self._ids[row] for row in kept]
        self._known -= gone

    def search(self, query: HashCode | Sequence[HashCode], radius: int, limit: int | None = None) -> list[Candidate]:
        """See :meth:`HashIndex.search`."""
        codes = [query] if isinstance(query, HashCode) else list(query)
        packed = [self._pack(code) for code in codes]
        found: list[Candidate] = []
        if packed:
            for start in range(0, len(self._ids), _BLOCK_ROWS):
                block = self._codes[start : start + _BLOCK_ROWS]
                distances = np.stack([np.bitwise_count(block ^ code).sum(axis=1, dtype=np.int32) for code in packed])
                nearest = distances.min(axis=0)
                variant = distances.argmin(axis=0)
                for row in np.flatnonzero(nearest <= radius):
                    found.append(Candidate(self._ids[start + row], int(nearest[row]), int(variant[row])))
        found.sort(key=lambda candidate: (candidate.distance, candidate.id))
        return found[:limit]

    def _pack(self, code: HashCode) -> npt.NDArray[np.uint64]:
        if code.algorithm != self.algorithm or code.length != self.length:
            raise ValueError(f"{code.algorithm}/{code.length} does not belong to {self.algorithm}/{self.length}")
        return np.frombuffer(code.bits.ljust(8 * self._words, b"\0"), dtype=np.uint64)
