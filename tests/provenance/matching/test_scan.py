"""The compiled pass over codes: what it finds is what comparing one by one finds, at any length and number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from provenance.matching import scan
from provenance.matching.scan import CodeTable

LENGTHS = (32, 64, 96, 256, 512)
Packed = npt.NDArray[np.uint8]


def random_rows(seed: int, length: int, count: int) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (count, length // 8), dtype=np.uint8)


def one_by_one(rows: Packed, codes: Packed, radius: int) -> list[tuple[int, int]]:
    """Return number and distance of the rows within the radius; a row's number is 7 times its place."""
    each = [np.bitwise_count(rows ^ code).sum(axis=1, dtype=np.int64) for code in codes]
    nearest = np.min(each, axis=0)
    return [(7 * int(row), int(nearest[row])) for row in np.flatnonzero(nearest <= radius)]


def found(table: CodeTable, codes: Packed, radius: int) -> list[tuple[int, int]]:
    ids, distances = table.within(codes, radius)
    return sorted(zip(ids.tolist(), distances.tolist(), strict=True))


def filled(rows: Packed, length: int, threads: int = 1) -> CodeTable:
    table = CodeTable(length, threads)
    table.append(7 * np.arange(len(rows)), rows)
    return table


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [0, 1, 2, 1023, 1024, 1025, 5000])
def test_nothing_is_lost_and_nothing_is_made_up(length: int, count: int) -> None:
    rows, codes = random_rows(count, length, count), random_rows(99, length, 8)
    if count:
        codes[3] = rows[count // 2]
        codes[5] = ~rows[-1]
    table = filled(rows, length)
    assert len(table) == count
    for radius in (-1, 0, length // 4, length // 3, length // 2, length):
        for number in (1, 2, 8):
            expected = one_by_one(rows, codes[:number], radius) if radius >= 0 else []
            assert found(table, codes[:number], radius) == expected
    assert found(table, codes[:0], length) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_blocks_meet_without_a_gap(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 3000)
    rows, (code,) = random_rows(1, 96, 20_000), random_rows(2, 96, 1)
    edges = [0, 1023, 1024, 2999, 3000, 5999, 6000, 17_999, 18_000, 19_999]
    rows[edges] = code
    table = CodeTable(96, threads)
    for start in range(0, 20_000, 777):
        part = rows[start : start + 777]
        table.append(7 * np.arange(start, start + len(part)), part)
    assert len(table) == 20_000
    assert table.bytes_used == 20_000 * (12 + 4)
    assert found(table, code[None], 0) == [(7 * edge, 0) for edge in edges]
    assert found(table, code[None], 40) == one_by_one(rows, code[None], 40)


def test_numbers_may_lie_far_apart_and_come_in_any_order() -> None:
    ids = [5, 1 << 40, 7, (1 << 62) + 1, 6, (1 << 40) - 3, 5 + (1 << 31), 3]
    rows = random_rows(1, 96, len(ids))
    table = CodeTable(96)
    table.append(np.array(ids[:5]), rows[:5])
    table.append(np.array(ids[5:]), rows[5:])
    for number, row in zip(ids, rows, strict=True):
        assert found(table, row[None], 0) == [(number, 0)]


def test_planted_neighbours_are_found_up_to_the_radius_and_not_past_it() -> None:
    rows, codes = random_rows(3, 96, 100_000), random_rows(4, 96, 8)
    rng = np.random.default_rng(5)
    places = rng.permutation(100_000)[:60]
    for number, place in enumerate(places):
        bits = np.unpackbits(codes[number % 8])
        bits[rng.permutation(96)[: number // 3]] ^= 1
        rows[place] = np.packbits(bits)
    expected = one_by_one(rows, codes, 12)
    assert len(expected) >= 39, "thirteen distances, three of each"
    assert found(filled(rows, 96), codes, 12) == expected


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="whole words"):
        CodeTable(104)
    table = CodeTable(64)
    with pytest.raises(ValueError, match="for 2 numbers"):
        table.append(np.arange(2), random_rows(1, 64, 3))
    with pytest.raises(ValueError, match="for 3 numbers"):
        table.append(np.arange(3), random_rows(1, 96, 3))
    with pytest.raises(ValueError, match="do not hold codes of 64"):
        table.within(random_rows(1, 96, 1), 3)


def test_no_two_lengths_share_a_file_of_compiled_code(tmp_path: Path) -> None:
    program = (
        "import numpy as np\n"
        "from provenance.matching.scan import CodeTable\n"
        "for length in (32, 64):\n"
        "    table = CodeTable(length)\n"
        "    table.append(np.arange(3), np.zeros((3, length // 8), np.uint8))\n"
        "    assert len(table.within(np.zeros((1, length // 8), np.uint8), 0)[0]) == 3\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)
    indexes, code = list(tmp_path.rglob("*.nbi")), list(tmp_path.rglob("*.nbc"))
    assert len(indexes) == len(code) == 2
