"""A pass over codes in memory that runs about as fast as the memory is read: XOR, popcount, minimum.

Codes lie in columns of 32-bit words, 12 bytes a row at 96 bits, so that each instruction takes as many rows as the
processor's vectors hold, of any length of code. Nothing is left out: what is within the radius is found. Against
blocked numpy, FAISS and indexes that split the code see ``make bench-search``.

Importing this compiles nothing, but loads LLVM; whoever may be forked should not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import intrinsic, overload

# Rows of a chunk; a table grows by whole ones and copies nothing. What is not used yet takes no memory.
_CHUNK = 1 << 19
# Columns that lie a power of two apart would fight for the same lines of the cache.
_PADDING = 272
# Below so many chunks another thread costs more than it saves.
_FOR_THREADS = 4
# How far a row's number may be from the first of its chunk: four bytes with a sign.
_FARTHEST = (1 << 31) - 1
# Rows of a chunk that a search has room for at first: more memory would have to be cleared for each search.
_ROOM = 4096
# Rows whose distances stay in the nearest cache between two codes of a query.
_BLOCK = 1024


def _popcount_built(_context: Any, word: Any) -> Any:
    """Return how many bits of a word are 1: one instruction, of which LLVM makes vectors."""
    return word(word), lambda _target, builder, _signature, arguments: builder.ctpop(arguments[0])


_popcount: Any = intrinsic(_popcount_built)


# A code's words are tuples to the compiler, so that their number is known to it and no loop over them is left. Tuples
# are taken apart by recursion: each of these three is replaced by what its overload returns for that length.
def _slices(columns: Any, start: Any, end: Any) -> Any: ...
def _row(columns: Any, row: Any) -> Any: ...
def _difference(columns: Any, code: Any, row: Any) -> Any: ...


@overload(_slices, strict=False)
def _slices_compiled(columns: Any, start: Any, end: Any) -> Any:
    """Return rows ``start`` to ``end`` of each column."""
    if len(columns) == 1:
        return lambda columns, start, end: (columns[0][start:end],)
    return lambda columns, start, end: (columns[0][start:end], *_slices(columns[1:], start, end))


@overload(_row, strict=False)
def _row_compiled(columns: Any, row: Any) -> Any:
    """Return the words of one row."""
    if len(columns) == 1:
        return lambda columns, row: (columns[0][row],)
    return lambda columns, row: (columns[0][row], *_row(columns[1:], row))


@overload(_difference, strict=False)
def _difference_compiled(columns: Any, code: Any, row: Any) -> Any:
    """Return the Hamming distance of one row to a code."""
    if len(columns) == 1:
        return lambda columns, code, row: _popcount(columns[0][row] ^ code[0])
    return lambda columns, code, row: _popcount(columns[0][row] ^ code[0]) + _difference(columns[1:], code[1:], row)


def _scan(columns: Any, codes: Any, radius: Any, rows: Any, distances: Any) -> int:
    """Write the rows within the radius and their distances, as many as there is room for; return how many there are.

    Args:
        columns: tuple of uint32 ``[n]``, one for each word of a code.
        codes: tuple of uint32 ``[k]``: the query's codes in the same form, k >= 1.
        radius: uint32.
        rows: int32 ``[room]``, written.
        distances: uint16 ``[room]``, written: to the nearest of the query's codes.
    """
    best = np.empty(_BLOCK, np.uint32)
    found = 0
    for start in range(0, columns[0].size, _BLOCK):
        size = min(_BLOCK, columns[0].size - start)
        block = _slices(columns, start, start + size)
        least = np.uint32(0xFFFF)
        code = _row(codes, 0)
        for row in range(size):
            distance = _difference(block, code, row)
            least = min(least, distance)
            best[row] = distance
        for number in range(1, codes[0].size):
            code = _row(codes, number)
            for row in range(size):
                distance = min(best[row], _difference(block, code, row))
                least = min(least, distance)
                best[row] = distance
        if least <= radius:
            for row in range(size):
                if best[row] <= radius:
                    if found < rows.size:
                        rows[found] = start + row
                        distances[found] = best[row]
                    found += 1
    return found


@cache
def _compiled(words: int) -> Any:
    """Return the scan of codes of so many words as a compiled function, kept on disk where there is a place for it."""
    # A name of its own, and so files of its own: of one function compiled for several lengths the files are numbered
    # from an index without a lock, and two processes that begin together leave one length's code under another's.
    scan = FunctionType(_scan.__code__, globals())
    scan.__qualname__ = f"_scan_{words}"
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(scan)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written: each process compiles, a second or two.
        return numba.njit(nogil=True, error_model="numpy")(scan)


class _Chunk:
    """Rows whose numbers lie within 31 bits of the first one's, so that four bytes are enough for each."""

    def __init__(self, words: int, first: int) -> None:
        self.columns = tuple(np.empty((words, _CHUNK + _PADDING), np.uint32)[:, :_CHUNK])
        self.first = first
        self.offsets = np.empty(_CHUNK, np.int32)
        self.used = 0

    def ids(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        return self.first + self.offsets[rows].astype(np.int64)


class CodeTable:
    """Codes of one length with a number each, in memory. Entries are only ever added.

    Any number of threads may search while one adds: a search sees what was added before it.
    """

    def __init__(self, length: int, threads: int = 1) -> None:
        """Make an empty table.

        Args:
            length: bits of a code, a multiple of 32.
            threads: how many processors a search of millions of rows may keep busy.
        """
        if length % 32:
            raise ValueError(f"{length} bits are no whole words")
        self.length = length
        self._threads = threads
        self._chunks: list[_Chunk] = []

    def __len__(self) -> int:
        return sum(chunk.used for chunk in self._chunks)

    @staticmethod
    def row_bytes(length: int) -> int:
        """Return the bytes that an entry takes: its code and its number."""
        return length // 8 + 4

    @property
    def bytes_used(self) -> int:
        """The bytes that the entries take."""
        return len(self) * self.row_bytes(self.length)

    def append(self, ids: npt.NDArray[np.int64], packed: npt.NDArray[np.uint8]) -> None:
        """Add entries.

        Args:
            ids: int64 ``[n]``; one that is there already is then there twice.
            packed: uint8 ``[n, length / 8]``, rows packed as ``HashCode.bits``.

        Raises:
            ValueError: the shapes do not fit.
        """
        if packed.shape != (len(ids), self.length // 8):
            raise ValueError(f"codes {packed.shape} for {len(ids)} numbers and {self.length} bits")
        words = np.ascontiguousarray(packed).view(np.uint32)
        done = 0
        while done < len(ids):
            if not self._chunks or self._chunks[-1].used == _CHUNK or not _fits(self._chunks[-1], ids[done]):
                self._chunks.append(_Chunk(self.length // 32, int(ids[done])))
            chunk = self._chunks[-1]
            count = min(len(ids) - done, _CHUNK - chunk.used)
            beyond = np.flatnonzero(~_fits(chunk, ids[done : done + count]))
            count = int(beyond[0]) if beyond.size else count
            place = slice(chunk.used, chunk.used + count)
            for column, values in zip(chunk.columns, words[done : done + count].T, strict=True):
                column[place] = values
            chunk.offsets[place] = ids[done : done + count] - chunk.first
            chunk.used += count
            done += count

    def within(self, codes: npt.NDArray[np.uint8], radius: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
        """Return every entry whose distance to any of these codes is at most ``radius``, in no particular order.

        Args:
            codes: uint8 ``[k, length / 8]``.

        Returns:
            numbers int64 ``[m]`` and distances to the nearest code uint16 ``[m]``.

        Raises:
            ValueError: the codes have another length.
        """
        if codes.ndim != 2 or codes.shape[1] * 8 != self.length:
            raise ValueError(f"rows of {codes.shape} do not hold codes of {self.length} bits")
        chunks = list(self._chunks)
        if radius < 0 or not len(codes):
            chunks = []
        query = tuple(np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint32).T))
        threads = self._threads if len(chunks) >= _FOR_THREADS else 1
        shares = [chunks[number::threads] for number in range(threads)]
        if len(shares) > 1:
            with ThreadPoolExecutor(len(shares) - 1) as pool:
                others = [pool.submit(_search, share, query, radius) for share in shares[1:]]
                found = _search(shares[0], query, radius)
                for other in others:
                    found += other.result()
        else:
            found = _search(shares[0], query, radius)
        ids = [part for part, _distances in found]
        distances = [part for _ids, part in found]
        return np.concatenate([np.empty(0, np.int64), *ids]), np.concatenate([np.empty(0, np.uint16), *distances])


def _fits(chunk: _Chunk, ids: Any) -> Any:
    return np.abs(ids - chunk.first) <= _FARTHEST


def _search(
    chunks: list[_Chunk], query: tuple[npt.NDArray[np.uint32], ...], radius: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]]:
    rows, distances = np.empty(_ROOM, np.int32), np.empty(_ROOM, np.uint16)
    scan, found = _compiled(len(query)), []
    for chunk in chunks:
        used = chunk.used
        columns = tuple(column[:used] for column in chunk.columns)
        count = scan(columns, query, np.uint32(radius), rows, distances)
        if count > len(rows):
            rows, distances = np.empty(count, np.int32), np.empty(count, np.uint16)
            count = scan(columns, query, np.uint32(radius), rows, distances)
        if count:
            found.append((chunk.ids(rows[:count]), distances[:count].copy()))
    return found
