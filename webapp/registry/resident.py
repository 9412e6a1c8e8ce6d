"""The codes of a large registry in this process's memory: an exact search that the database confirms.

What is kept is the code and the number of every fingerprint. A search first reads what was committed since the last
one, then passes over the codes, then has the database compare what it found: a work that was deleted, purged or
hashed anew a moment ago is judged by what stands in its row. So an entry too many does no harm, and entries are only
ever added; one too few would, and each night's audit looks for that (:mod:`webapp.registry.recall`).

The feed is a column that a trigger fills, ``registry_fingerprint.changed``: the transaction that last wrote the row.
Transactions commit in another order than they begin, and number their rows in yet another; so what was seen is not a
number but a snapshot, and what is new is whatever that snapshot did not show (PostgreSQL manual, "Transaction ID and
Snapshot Information Functions").

Nothing is on disk: a process that is killed leaves nothing behind, and the next one reads the table.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection

from provenance.hashing.code import HashCode
from provenance.matching.index import Candidate
from provenance.matching.scan import CodeTable
from webapp.registry.models import HASH_COLUMNS, Visibility
from webapp.registry.search import SqlIndex

log = logging.getLogger(__name__)

# Numbers of fingerprints read in one statement: some megabytes.
_READ_AT_ONCE = 1 << 18
# Fingerprints that the database is asked to confirm in one statement.
_CONFIRM_AT_ONCE = 10_000
# A registry that did not fit may have shrunk after this time, or a limit been raised.
_REFUSED_SECONDS = 600.0
# Entries added since the table was read, past which it is read anew: what was replaced or purged goes then.
_SPARE_ROWS = 500_000


@dataclass(frozen=True)
class _State:
    """What the database shows now, and which database that is.

    Attributes:
        snapshot: text of the pg_snapshot; while it is the same, nothing was committed.
        epoch: changes with the database, with every start and crash of its server (after which numbers of
            transactions may be given again), and with every audit that found something missing.
    """

    snapshot: str
    epoch: tuple[Any, ...]


class ResidentIndex:
    """A :class:`provenance.matching.index.HashIndex` over the fingerprints of one algorithm, for autocommit only.

    Ids are those of works; what is deleted is not found, as with :class:`SqlIndex`. A search sees everything
    committed before it began. Threads may share an index.
    """

    def __init__(self, algorithm: str, length: int) -> None:
        """Make an index; it reads nothing before the first search.

        Raises:
            KeyError: no column holds codes of that length.
        """
        self.algorithm = algorithm
        self.length = length
        self._sql = SqlIndex(algorithm, length)
        self._column = HASH_COLUMNS[length]
        self._lock = threading.Lock()
        self._codes: CodeTable | None = None
        self._state: _State | None = None
        self._rows_read = 0
        self._refused_until = 0.0

    @property
    def bytes_used(self) -> int:
        """The bytes that the codes take in this process."""
        return self._codes.bytes_used if self._codes is not None else 0

    def add(self, ids: Sequence[uuid.UUID], codes: Sequence[HashCode]) -> None:
        """Store codes in the registry: see :meth:`SqlIndex.add`."""
        self._sql.add(ids, codes)

    def remove(self, ids: Iterable[uuid.UUID]) -> None:
        """Remove codes from the registry: see :meth:`SqlIndex.remove`."""
        self._sql.remove(ids)

    def search(
        self,
        query: HashCode | Sequence[HashCode],
        radius: int,
        limit: int | None = None,
        *,
        organisation: uuid.UUID | None = None,
        visibility: Visibility | None = None,
    ) -> list[Candidate]:
        """Return all live works within the radius: see :meth:`SqlIndex.search`, which answers what does not fit here.

        Raises:
            ValueError: a code of another algorithm or length.
            RuntimeError: inside a transaction.
        """
        codes = self._sql.codes_of(query)
        table = self.caught_up()
        if table is None or not codes:
            return self._sql.search(codes, radius, limit, organisation=organisation, visibility=visibility)
        packed = np.stack([np.frombuffer(code.bits, np.uint8) for code in codes])
        found: dict[Any, Candidate] = {}
        for bound, among in _nearest_first(*table.within(packed, radius)):
            # With the whole radius: a code that changed since it was found may lie farther now, and still within.
            confirmed = self._sql.search(codes, radius, among=among, organisation=organisation, visibility=visibility)
            found.update((candidate.id, candidate) for candidate in confirmed)
            if limit is not None and sum(candidate.distance <= bound for candidate in found.values()) >= limit:
                break
        return sorted(found.values(), key=lambda candidate: (candidate.distance, candidate.id))[:limit]

    def forget(self) -> None:
        """Give the memory back; the next search reads the table anew."""
        with self._lock:
            self._codes = None
            self._refused_until = 0.0

    def caught_up(self) -> CodeTable | None:
        """Return the codes of every fingerprint committed before this was called; None where they do not fit.

        Raises:
            RuntimeError: inside a transaction.
        """
        if connection.in_atomic_block:
            raise RuntimeError("a transaction's own changes must not get into an index that outlives it")
        with self._lock:
            if time.monotonic() < self._refused_until:
                return None
            # Taken before any row is read: what is committed in between is read now, and once more next time.
            state = _state()
            table, seen = self._codes, self._state
            if (
                table is None
                or seen is None
                or seen.epoch != state.epoch
                or len(table) > 2 * self._rows_read + _SPARE_ROWS
            ):
                self._codes = None
                table = self._read_all()
                self._rows_read = len(table) if table is not None else 0
            elif seen.snapshot != state.snapshot and not self._append(table, self._changed_since(seen.snapshot)):
                table = None
            if table is None:
                self._refused_until = time.monotonic() + _REFUSED_SECONDS
                log.warning("the codes of %s do not fit SEARCH_MEMORY_BYTES; SQL searches them", self.algorithm)
            self._codes, self._state = table, state
            return table

    def _read_all(self) -> CodeTable | None:
        began = time.monotonic()
        table = CodeTable(self.length, threads=max(1, (os.cpu_count() or 1) // settings.WORKERS))
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(id), max(id) FROM registry_fingerprint")
            first, last = cursor.fetchone()
        if first is not None:
            for start in range(first, last + 1, _READ_AT_ONCE):
                part = self._read("f.id >= %s AND f.id < %s", [start, start + _READ_AT_ONCE])
                if not self._append(table, part):
                    return None
        log.info("read %d codes of %s in %.1f s", len(table), self.algorithm, time.monotonic() - began)
        return table

    def _changed_since(self, snapshot: str) -> npt.NDArray[np.void]:
        """Return the rows that a snapshot did not show.

        Numbers yet to be given are those of another server, from which the table was restored.
        """
        return self._read(
            "f.changed >= pg_snapshot_xmin(%s::pg_snapshot) AND f.changed < pg_snapshot_xmax(pg_current_snapshot())"
            " AND NOT pg_visible_in_snapshot(f.changed, %s::pg_snapshot)",
            [snapshot, snapshot],
        )

    def _read(self, condition: str, values: list[Any]) -> npt.NDArray[np.void]:
        """Return number and code of the rows of this algorithm for which the condition holds."""
        with connection.cursor() as cursor:
            cursor.execute(
                # One value for all rows: a tenth of the time that rows take. Only our own text is put in.
                f"SELECT string_agg(int8send(f.id) || bit_send(f.{self._column}), ''::bytea)"  # noqa: S608
                f" FROM registry_fingerprint f WHERE f.algorithm = %s AND {condition}",
                [self.algorithm, *values],
            )
            (data,) = cursor.fetchone()
        layout = np.dtype([("id", ">i8"), ("bits", ">i4"), ("code", "u1", (self.length // 8,))])
        return np.frombuffer(data or b"", layout)

    def _append(self, table: CodeTable, rows: npt.NDArray[np.void]) -> bool:
        """Add what was read; return False, and add nothing, where it does not fit."""
        others = sum(index.bytes_used for index in _INDEXES.values() if index is not self)
        needed = (len(table) + len(rows)) * CodeTable.row_bytes(self.length)
        if others + needed > settings.SEARCH_MEMORY_BYTES:
            return False
        table.append(rows["id"].astype(np.int64), rows["code"])
        return True


_INDEXES: dict[tuple[str, int], ResidentIndex] = {}


def resident_index(algorithm: str, length: int) -> ResidentIndex:
    """Return this process's index of an algorithm, which reads nothing before it is searched."""
    return _INDEXES.setdefault((algorithm, length), ResidentIndex(algorithm, length))


def _state() -> _State:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_current_snapshot()::text, pg_postmaster_start_time(),"
            # PostgreSQL forgets these figures when it recovers from a crash, and starts their clock again.
            " (SELECT stats_reset FROM pg_stat_bgwriter),"
            " (SELECT oid FROM pg_database WHERE datname = current_database()),"
            " (SELECT max(id) FROM registry_searchaudit WHERE missed > 0)"
        )
        snapshot, *epoch = cursor.fetchone()
        return _State(snapshot, tuple(epoch))


def _nearest_first(ids: npt.NDArray[np.int64], distances: npt.NDArray[np.uint16]) -> Iterator[tuple[int, list[int]]]:
    """Yield ids in parts, the nearest first, each with its largest distance; equal distances stay in one part."""
    order = np.argsort(distances, kind="stable")
    ids, distances = ids[order], distances[order]
    start = 0
    while start < len(ids):
        bound = distances[min(start + _CONFIRM_AT_ONCE, len(ids)) - 1]
        end = int(np.searchsorted(distances, bound, side="right"))
        yield int(bound), ids[start:end].tolist()
        start = end
