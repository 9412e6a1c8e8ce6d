"""Codes alone, without a database: how near a search in memory comes to the time in which memory can be read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.results import QUICK
from provenance.matching.scan import CodeTable

SIZES = (1_000_000, 10_000_000)
BITS, RADIUS = 96, 24
TIMES = 15 if QUICK else 101
SECONDS = 0.4 if QUICK else 3.0
ASKERS = (1, 2, 4, 8)
PLANTED = 40
_NUMPY_BLOCK = 1 << 16

Packed = npt.NDArray[np.uint8]


def measure() -> tuple[str, dict[str, Any]]:
    """Return the section's text and the key figures."""
    cores = os.cpu_count() or 1
    rows: list[str] = []
    asked: list[str] = []
    figures: dict[str, Any] = {}
    for size in SIZES:
        name = f"{size // 1_000_000}m"
        packed, query, planted = _codes(size)
        tables = {threads: _table(packed, threads) for threads in sorted({1, cores})}
        for threads, table in tables.items():
            read = _reader(table, threads)
            suffix = "" if threads == 1 else "_all_cores"
            for codes in (1, 8):
                for form, search in _forms(packed, table, codes, query, only_ours=threads > 1).items():
                    # In turn, so that a busy moment strikes both.
                    floor, ms = _p50(read, search)
                    if not set(planted[: codes * PLANTED // 8]) <= set(search().tolist()):
                        raise RuntimeError(f"{form} lost a planted neighbour")
                    cells = f"{size:,} | {codes} | {form} | {threads} | {ms:.2f} | {floor:.2f} | {ms / floor:.2f}"
                    rows.append(f"| {cells} |")
                    if form == "ours" and codes == 1:
                        figures[f"scan_{name}{suffix}_ms"] = round(ms, 3)
                        figures[f"bandwidth_floor_{name}{suffix}_ms"] = round(floor, 3)
                    elif form == "ours":
                        figures[f"scan_{name}{suffix}_eight_codes_ms"] = round(ms, 3)
        figures[f"scan_{name}_to_floor"] = round(figures[f"scan_{name}_ms"] / figures[f"bandwidth_floor_{name}_ms"], 2)
        for codes in (1, 8):
            rates = [_rate(tables[1], query[:codes], askers) for askers in ASKERS]
            asked.append(f"| {size:,} | {codes} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |")
            figures[f"queries_per_s_{name}_{codes}_codes"] = dict(zip(map(str, ASKERS), map(round, rates), strict=True))
    text = (
        f"All of N codes of {BITS} bits within {RADIUS} bits of any of a query's codes, p50 of {TIMES}, random codes"
        f" with {PLANTED} planted neighbours, which all forms found. Ours takes {CodeTable.row_bytes(BITS)} bytes a"
        f" row, {BITS // 8} for the code and 4 for its number. The floor is the time to read the {BITS // 8} bytes of"
        " each code once, by as many threads, measured in turn with each form; one code of a query is bound by"
        " memory, eight are bound by arithmetic.\n\n"
        "| rows | codes of the query | form | threads | p50 ms | floor ms | ratio |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nQueries a second by threads that ask one index at once:\n\n"
        + f"| rows | codes of the query | {' | '.join(map(str, ASKERS))} |\n|---|---|{'---|' * len(ASKERS)}\n"
        + "\n".join(asked)
    )
    return text, figures


def ours(size: int) -> tuple[float, float]:
    """Return median milliseconds of one thread for ``size`` codes of 96 bits: to read them once, and to search them for
    one code within the radius."""
    packed, query, _planted = _codes(size)
    table = _table(packed, 1)
    floor, ms = _p50(_reader(table, 1), lambda: table.within(query[:1], RADIUS))
    return floor, ms


def _codes(size: int) -> tuple[Packed, Packed, list[int]]:
    """Return codes uint8 ``[size, 12]``, a query of eight ``[8, 12]``, and the rows planted near them, in the
    order of the query's codes: as many near each, 0 to 24 bits away."""
    rng = np.random.default_rng(size)
    packed = rng.integers(0, 256, (size, BITS // 8), dtype=np.uint8)
    query = rng.integers(0, 256, (8, BITS // 8), dtype=np.uint8)
    places = rng.permutation(size)[:PLANTED]
    for number, place in enumerate(places):
        bits = np.unpackbits(query[number * 8 // PLANTED])
        bits[rng.permutation(BITS)[: number * RADIUS // (PLANTED - 1)]] ^= 1
        packed[place] = np.packbits(bits)
    return packed, query, places.tolist()


def _table(packed: Packed, threads: int) -> CodeTable:
    table = CodeTable(BITS, threads)
    table.append(np.arange(len(packed)), packed)
    return table


Search = Callable[[], npt.NDArray[np.int64]]


def _forms(packed: Packed, table: CodeTable, codes: int, query: Packed, *, only_ours: bool) -> dict[str, Search]:
    """Return exact ways to ask the same by their names; each returns the numbers of the rows."""
    forms: dict[str, Search] = {"ours": lambda: table.within(query[:codes], RADIUS)[0]}
    if only_ours:
        return forms
    wide = np.ascontiguousarray(packed[:, :8]).view(np.uint64)[:, 0]
    narrow = np.ascontiguousarray(packed[:, 8:]).view(np.uint32)[:, 0]
    words = [(code[:8].view(np.uint64)[0], code[8:].view(np.uint32)[0]) for code in query[:codes]]

    def blocked() -> npt.NDArray[np.int64]:
        found = []
        for start in range(0, len(packed), _NUMPY_BLOCK):
            block = slice(start, start + _NUMPY_BLOCK)
            each = [np.bitwise_count(wide[block] ^ a) + np.bitwise_count(narrow[block] ^ b) for a, b in words]
            found.append(start + np.flatnonzero(np.min(each, axis=0) <= RADIUS))
        return np.concatenate(found)

    forms["numpy in blocks"] = blocked
    try:
        import faiss  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return forms
    faiss.omp_set_num_threads(1)
    padded = np.pad(packed, ((0, 0), (0, 4)))
    index = faiss.IndexBinaryFlat(128)
    index.add(padded)
    asked = np.pad(query[:codes], ((0, 0), (0, 4)))
    # FAISS finds what is nearer than the radius it is given.
    forms["FAISS, padded to 128 bits"] = lambda: index.range_search(asked, RADIUS + 1)[2]
    return forms


@numba.njit(nogil=True)
def _read(words: Any) -> Any:
    total = np.uint32(0)
    for row in range(words.size):
        total |= words[row]
    return total


def _reader(table: CodeTable, threads: int) -> Callable[[], Any]:
    """Return what reads each word of the table's codes once, by that many threads."""
    columns = [column[: chunk.used] for chunk in table._chunks for column in chunk.columns]
    if threads == 1:
        return lambda: [_read(column) for column in columns]
    pool = ThreadPoolExecutor(threads)

    def read(share: list[Any]) -> list[Any]:
        return [_read(column) for column in share]

    return lambda: list(pool.map(read, [columns[number::threads] for number in range(threads)]))


def _p50(*functions: Callable[[], Any]) -> list[float]:
    """Return the median milliseconds of each, called in turn, after one round that is not counted."""
    spent: list[list[float]] = [[] for _function in functions]
    for turn in range(TIMES + 1):
        for times, function in zip(spent, functions, strict=True):
            began = time.perf_counter()
            function()
            if turn:
                times.append(1000 * (time.perf_counter() - began))
    return [float(np.median(times)) for times in spent]


def _rate(table: CodeTable, query: Packed, askers: int) -> float:
    """Return the queries a second that threads get answered which ask one index at once."""
    end = time.perf_counter() + SECONDS

    def ask(_asker: int) -> int:
        done = 0
        while time.perf_counter() < end:
            table.within(query, RADIUS)
            done += 1
        return done

    with ThreadPoolExecutor(askers) as pool:
        return sum(pool.map(ask, range(askers))) / SECONDS
