"""Exact search by Hamming radius over the live works, in PostgreSQL.

One sequential scan answers all codes of a query: a row is read once and compared with each of them, which costs
twice what one comparison does. Measured on PostgreSQL 18 with eight codes of 256 bits (``make bench-search``):
pgvector's ``<~>`` in a chain of ORs takes two thirds of the time of ``bit_count(a # b)`` and half of that of a join
with the codes, and the planner shares it among parallel workers by itself once there are some 100,000 works.
Indexes that split the code (multi-index hashing) pay at small radii only; the radius at which verification looks is
a third of the code. Of a large registry the codes are kept in memory: see :mod:`webapp.registry.resident`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction

from provenance.hashing.code import HashCode
from provenance.matching.index import Candidate
from webapp.registry.models import HASH_COLUMNS, Fingerprint, Visibility

if TYPE_CHECKING:
    from webapp.registry.resident import ResidentIndex


def registry_index(algorithm: str, length: int) -> SqlIndex | ResidentIndex:
    """Return what answers searches for codes of this algorithm: the one place that decides.

    SQL answers while the registry is small, and inside a transaction, whose own changes nobody else may see.
    The index in memory hands a search to SQL by itself where its codes do not fit ``settings.SEARCH_MEMORY_BYTES``.

    Raises:
        KeyError: no column holds codes of that length.
    """
    if connection.in_atomic_block or fingerprints_about() < settings.SEARCH_RESIDENT_ROWS:
        return SqlIndex(algorithm, length)
    from webapp.registry.resident import resident_index  # It brings a compiler with it.

    return resident_index(algorithm, length)


def fingerprints_about() -> int:
    """Return about how many fingerprints of all algorithms there are, as the planner has it; costs nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [Fingerprint._meta.db_table])
        return max(0, int(cursor.fetchone()[0]))


class SqlIndex:
    """A :class:`provenance.matching.index.HashIndex` over the fingerprints of one algorithm.

    Ids are those of works. Works that are deleted are kept and not found, so that an undone deletion is found
    again. Each search is one statement and sees what is committed when it begins.
    """

    def __init__(self, algorithm: str, length: int) -> None:
        """Make an index; it holds no connection and no state.

        Raises:
            KeyError: no column holds codes of that length.
        """
        self.algorithm = algorithm
        self.length = length
        self._column = HASH_COLUMNS[length]

    def add(
        self, ids: Sequence[uuid.UUID], codes: Sequence[HashCode], qualities: Sequence[float] | None = None
    ) -> None:
        """Store codes of works that exist, replacing those they have; some 30,000 a second.

        Args:
            qualities: 0..1 for each code; 1 where it is left out.

        Raises:
            ValueError: a code of another algorithm or length, or not as many ids as codes.
            IntegrityError: there is no such work.
        """
        if len(ids) != len(codes) or (qualities is not None and len(qualities) != len(codes)):
            raise ValueError(f"{len(ids)} ids for {len(codes)} codes")
        for code in codes:
            self._check(code)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE incoming (work_id uuid, code bit({self.length}), quality float8)"
                " ON COMMIT DROP"
            )
            with cursor.copy("COPY incoming FROM STDIN") as copy:
                for work_id, code, quality in zip(ids, codes, qualities or [1.0] * len(codes), strict=True):
                    copy.write_row((work_id, code.bitstring(), quality))
            cursor.execute(
                f"INSERT INTO registry_fingerprint (work_id, algorithm, {self._column}, quality)"  # noqa: S608
                " SELECT DISTINCT ON (work_id) work_id, %s, code, quality FROM incoming"
                " ON CONFLICT (work_id, algorithm) DO UPDATE"
                f" SET {self._column} = EXCLUDED.{self._column}, quality = EXCLUDED.quality",
                [self.algorithm],
            )
            cursor.execute("DROP TABLE incoming")

    def remove(self, ids: Iterable[uuid.UUID]) -> None:
        """Forget the codes of these works; ids that are not there are passed over."""
        Fingerprint.objects.filter(work__in=list(ids), algorithm=self.algorithm).delete()

    def search(
        self,
        query: HashCode | Sequence[HashCode],
        radius: int,
        limit: int | None = None,
        *,
        among: Sequence[int] | None = None,
        organisation: uuid.UUID | None = None,
        visibility: Visibility | None = None,
    ) -> list[Candidate]:
        """Return all live works within ``radius`` bits of any of the query's codes: recall 1.0.

        Sorted by distance, then id. Time grows with the number of works: with eight codes, some 40 ms for 100,000
        and 0.25 to 0.5 s for a million on two cores.

        Args:
            among: ids of fingerprints: only these are looked at.
            organisation: only its works.
            visibility: only works of this one.

        Raises:
            ValueError: a code of another algorithm or length.
        """
        codes = self.codes_of(query)
        if not codes:
            return []
        distances = [f"f.{self._column} <~> %s::bit({self.length})"] * len(codes)
        near = " OR ".join(f"({distance}) <= %s" for distance in distances)
        listed = ", ".join(distances)
        bits = [code.bitstring() for code in codes]
        bounds: list[Any] = [value for text in bits for value in (text, radius)]
        chosen = {
            "f.id = ANY(%s)": None if among is None else list(among),
            "w.organisation_id = %s": organisation,
            "w.visibility = %s": visibility,
        }
        filters = {condition: value for condition, value in chosen.items() if value is not None}
        with connection.cursor() as cursor:
            cursor.execute(
                # The distances are worked out again only for the few rows that passed. Only column names of our
                # own and placeholders are put into the text.
                f"SELECT f.work_id, LEAST({listed}) AS distance, ARRAY[{listed}]"  # noqa: S608
                " FROM registry_fingerprint f JOIN registry_work w ON w.id = f.work_id"
                f" WHERE {' AND '.join(['f.algorithm = %s AND w.deleted_at IS NULL', f'({near})', *filters])}"
                " ORDER BY distance, f.work_id LIMIT %s",
                [*bits, *bits, self.algorithm, *bounds, *filters.values(), limit],
            )
            return [
                Candidate(work_id, int(distance), each.index(distance)) for work_id, distance, each in cursor.fetchall()
            ]

    def codes_of(self, query: HashCode | Sequence[HashCode]) -> list[HashCode]:
        """Return the codes of a query.

        Raises:
            ValueError: a code of another algorithm or length.
        """
        codes = [query] if isinstance(query, HashCode) else list(query)
        for code in codes:
            self._check(code)
        return codes

    def _check(self, code: HashCode) -> None:
        if code.algorithm != self.algorithm or code.length != self.length:
            raise ValueError(f"{code.algorithm}/{code.length} does not belong to {self.algorithm}/{self.length}")
