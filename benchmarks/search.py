"""Exact search by Hamming radius, in memory and in PostgreSQL: how long it takes, and why it has the form it has.

Works with random codes are put into a database of their own. A query has eight codes, as every check has. What the
registry runs (``webapp.registry.search``) is timed against other exact forms of the same question; all must give the
same answer. What codes in memory take without a database is :mod:`benchmarks.scan`.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scan
from benchmarks.results import QUICK, publish
from provenance.matching.policy import POLICIES
from webapp.embedded import postgres

SIZES = (10_000,) if QUICK else (10_000, 100_000, 1_000_000)
QUERIES = 5 if QUICK else 9
ALGORITHM = "pdq-v1"
BITS = 256
RADIUS = POLICIES[ALGORITHM].candidate_radius


def main() -> None:
    """Measure and publish."""
    with tempfile.TemporaryDirectory(prefix="provenance-bench-") as folder:
        os.chmod(folder, 0o755)  # The database's user must be able to enter.
        os.environ.update(PROVENANCE_HOME=folder, DJANGO_SETTINGS_MODULE="webapp.settings")
        postgres.ensure_running(Path(folder), durable=False)
        try:
            _measure()
        finally:
            postgres.stop(Path(folder))


def _measure() -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", interactive=False, verbosity=0)
    rows: list[str] = []
    figures: dict[str, Any] = {}
    count = 0
    rng = np.random.default_rng(1)
    for size in SIZES:
        _add_works(rng, size - count)
        count = size
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE registry_fingerprint, registry_work")
        queries = [_codes(rng, 8) for _ in range(QUERIES)]
        for name, workers, search in _forms():
            with connection.cursor() as cursor:
                cursor.execute(f"SET max_parallel_workers_per_gather = {workers}")
            p50, p95 = _time(search, queries)
            rows.append(f"| {size:,} | {name} | {workers} | {p50:.1f} | {p95:.1f} |")
            if workers and name in _KEYS:
                figures.update({"works": size, f"{_KEYS[name]}_p50_ms": p50, f"{_KEYS[name]}_p95_ms": p95})
    header = "| works | statement | parallel workers | p50 ms | p95 ms |\n|---|---|---|---|---|\n"
    words = (
        f"All works within {RADIUS} of {BITS} bits of any of a query's eight codes, {QUERIES} queries, warm, random"
        " codes, embedded PostgreSQL with its ordinary settings (jit off). All forms gave the same answers. In memory"
        " includes reading what was committed since the last search and having the database confirm what is found.\n\n"
    )
    scanned, scan_figures = scan.measure()
    publish(
        "search",
        title="Exact search",
        markdown="### Codes in memory\n\n"
        + scanned
        + "\n\n### Searches of the registry\n\n"
        + words
        + header
        + "\n".join(rows),
        figures={**scan_figures, **figures},
        details={"radius": RADIUS, "bits": BITS, "queries": QUERIES},
    )
    connection.close()


def _codes(rng: np.random.Generator, count: int) -> list[Any]:
    from provenance.hashing.code import HashCode

    rows = rng.integers(0, 256, (count, BITS // 8), dtype=np.uint8)
    return [HashCode(ALGORITHM, row.tobytes(), BITS) for row in rows]


def _add_works(rng: np.random.Generator, count: int) -> None:
    """Put bare works of one organisation into the registry, each with a random code of either algorithm."""
    from django.db import connection
    from django.utils import timezone

    from provenance.hashing.code import HashCode
    from webapp.accounts.models import Organisation
    from webapp.registry.search import SqlIndex

    organisation, _made = Organisation.objects.get_or_create(name="Benchmark")
    ids = [uuid.UUID(bytes=rng.bytes(16)) for _ in range(count)]
    columns = (
        "id, organisation_id, title, creator, licence, source_url, external_id, visibility, sha256, pixel_sha256,"
        " media_type, width, height, byte_size, created_at"
    )
    now = timezone.now()
    with connection.cursor() as cursor, cursor.copy(f"COPY registry_work ({columns}) FROM STDIN") as copy:
        for work in ids:
            digest = work.hex * 2
            copy.write_row(
                (work, organisation.pk, "work", "", "", "", "", "public", digest, digest, "image/png", 8, 8, 64, now)
            )
    SqlIndex(ALGORITHM, BITS).add(ids, _codes(rng, count))
    narrow = rng.integers(0, 256, (count, 8), dtype=np.uint8)
    SqlIndex("phash-v1", 64).add(ids, [HashCode("phash-v1", row.tobytes(), 64) for row in narrow])


def _forms() -> list[tuple[str, int, Callable[[list[Any]], list[tuple[int, uuid.UUID]]]]]:
    """Return name, parallel workers and function of every form; each function gives (distance, work) in order."""
    from django.db import connection

    from webapp.registry.resident import resident_index
    from webapp.registry.search import SqlIndex

    def resident(codes: list[Any]) -> list[tuple[int, uuid.UUID]]:
        return [(found.distance, found.id) for found in resident_index(ALGORITHM, BITS).search(codes, RADIUS)]

    def registry(codes: list[Any]) -> list[tuple[int, uuid.UUID]]:
        return [(found.distance, found.id) for found in SqlIndex(ALGORITHM, BITS).search(codes, RADIUS)]

    def run(statement: str, parameters: list[Any]) -> list[tuple[int, uuid.UUID]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [(int(distance), work) for distance, work in cursor.fetchall()]

    source = (
        " FROM registry_fingerprint f JOIN registry_work w ON w.id = f.work_id AND w.deleted_at IS NULL"
        f" WHERE f.algorithm = '{ALGORITHM}' AND "
    )
    code = f"%s::bit({BITS})"

    def each(distance: str, condition: str) -> Callable[[list[Any]], list[tuple[int, uuid.UUID]]]:
        least = f"LEAST({', '.join([distance] * 8)})"
        where = f"{least} <= {RADIUS}" if condition == "least" else " OR ".join([f"{distance} <= {RADIUS}"] * 8)
        statement = f"SELECT {least} AS d, f.work_id{source}({where}) ORDER BY d, f.work_id"

        def search(codes: list[Any]) -> list[tuple[int, uuid.UUID]]:
            return run(statement, [one.bitstring() for one in codes] * 2)

        return search

    def joined(codes: list[Any]) -> list[tuple[int, uuid.UUID]]:
        statement = (
            f"SELECT min(f.hash256 <~> q.code) AS d, f.work_id FROM unnest(%s::bit({BITS})[]) AS q(code)"
            " JOIN registry_fingerprint f ON (f.hash256 <~> q.code) <= %s"
            " JOIN registry_work w ON w.id = f.work_id AND w.deleted_at IS NULL"
            f" WHERE f.algorithm = '{ALGORITHM}' GROUP BY f.work_id ORDER BY d, f.work_id"
        )
        return run(statement, [[one.bitstring() for one in codes], RADIUS])

    forms = (
        (_IN_MEMORY, resident),
        (_IN_SQL, registry),
        ("`LEAST(<~>, ...) <= r`", each(f"(f.hash256 <~> {code})", "least")),
        ("`bit_count(a # b) <= r OR ...`", each(f"bit_count(f.hash256 # {code})", "or")),
        ("join with the eight codes", joined),
    )
    return [(name, workers, search) for name, search in forms for workers in (0, 2)]


def _time(search: Callable[[list[Any]], list[tuple[int, uuid.UUID]]], queries: list[list[Any]]) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds, after one search that is not counted; check the answers."""
    search(queries[0])
    spent = []
    for query in queries:
        start = time.perf_counter()
        found = search(query)
        spent.append(1000 * (time.perf_counter() - start))
        key = query[0].hex
        if _ANSWERS.setdefault((key, len(queries)), found) != found:
            raise RuntimeError("two exact forms of one question gave different answers")
    return round(float(np.percentile(spent, 50)), 2), round(float(np.percentile(spent, 95)), 2)


_IN_MEMORY, _IN_SQL = "in memory, as a large registry asks", "as a small registry asks"
_KEYS = {_IN_MEMORY: "resident", _IN_SQL: "search"}
_ANSWERS: dict[tuple[str, int], list[tuple[int, uuid.UUID]]] = {}

if __name__ == "__main__":
    main()
