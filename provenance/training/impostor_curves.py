"""Measure how near the codes of different pictures come, and those of edited copies, for hash algorithms.

    python -m provenance.training.impostor_curves ALGORITHM...

Every picture is compared with every later one as the site's search does it: the eight dihedral variants of the query
against the stored code, the smallest distance counts; a deep hash has one code for a query. Pairs of files with equal
pixels, and pairs that verification finds to share pixels, are not impostors and are left out; they are looked for
among the nearest pairs.
Then edited copies of ``COPIED`` of the pictures are compared with their sources. An algorithm that was learnt is
measured on the part of Flickr8k and Caltech 101 that is for tuning, any other on the tuning half. Writes
``provenance/matching/curves/<algorithm>.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from provenance.hashing.code import HashCode, hamming
from provenance.hashing.deephash import DEEP_HASHES
from provenance.hashing.descriptor import COSINE_STEPS, DESCRIPTOR, Vectors, distances
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher
from provenance.images.align import align
from provenance.images.decode import decode
from provenance.images.edits import DINOHASH_STACKS, SITE, THORN, apply
from provenance.training.pictures import Part, encoded_pictures, part_of

CURVES = Path(__file__).resolve().parent.parent / "matching" / "curves"
ARCHIVES = ("flickr8k.tar", "caltech101.tar")
LEARNT = ("dinohash-house-v1", "dinohash-house-v2", "copy-descriptor-v1", *DEEP_HASHES)
EDITS = tuple(dict.fromkeys((*DINOHASH_STACKS, *THORN, *SITE)))
COPIED = 60
_HASHERS = {**HASHERS, **{algorithm: retired.hasher for algorithm, retired in RETIRED.items()}}
# As a fraction of all pairs: the nearest are looked at before they count as impostors.
SUSPECTS = 2e-4
SHARED_INLIERS = 20


@dataclass
class _Codes:
    stored: list[bytes]
    queries: list[list[bytes]]


def main() -> None:
    """Measure and write the curves of the algorithms named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="+", choices=(*_HASHERS, *DEEP_HASHES, DESCRIPTOR.algorithm))
    algorithms = parser.parse_args().algorithms
    # Pictures are shared out among threads; threads of a picture's own would be in their way.
    torch.set_num_threads(1)
    for algorithm in algorithms:
        if algorithm == DESCRIPTOR.algorithm:
            measure_descriptor()
        elif algorithm in DEEP_HASHES:
            measure_deep(algorithm)
        else:
            measure(algorithm)


def measure(algorithm: str) -> None:
    """Measure one algorithm and write its curve."""
    learnt = algorithm in LEARNT
    files = [
        entry
        for archive in ARCHIVES
        for entry in encoded_pictures(archive, held_out=learnt)
        if not learnt or part_of(entry[0]) == Part.TUNE
    ]
    hasher = _HASHERS[algorithm]
    names: list[str] = []
    kept: list[bytes] = []
    codes = _Codes([], [])
    seen: set[str] = set()
    with ThreadPoolExecutor() as pool:
        hashed = pool.map(lambda entry: _hash(hasher, entry[1]), files)
        for (name, data), (pixels, stored, queries) in zip(files, track(hashed, total=len(files)), strict=True):
            if pixels not in seen and queries:
                seen.add(pixels)
                names.append(name)
                kept.append(data)
                codes.stored.append(stored)
                codes.queries.append(queries)
    _write(
        algorithm,
        hasher.length,
        names,
        kept,
        _nearest(codes),
        _copies(kept, lambda row, pixels: _least(hasher, codes.stored[row], pixels)),
    )


def measure_descriptor() -> None:
    """Measure the descriptor, as the site compares it: parts of the query with parts of the registered picture."""
    files = [
        entry
        for archive in ARCHIVES
        for entry in encoded_pictures(archive, held_out=True)
        if part_of(entry[0]) == Part.TUNE
    ]
    seen: dict[str, tuple[str, bytes]] = {}
    stored, queries = [], []
    with ThreadPoolExecutor() as pool:
        described = pool.map(lambda entry: _describe(entry[1]), files)
        for entry, (pixels, crops, asked) in zip(files, track(described, total=len(files)), strict=True):
            if crops is not None and asked is not None and pixels not in seen:
                seen[pixels] = entry
                stored.append(crops)
                queries.append(asked)
    many = np.concatenate(stored)
    nearest = [distances(query, many).min(0).reshape(len(stored), -1).min(1) for query in queries]

    def least(row: int, pixels: npt.NDArray[np.uint8]) -> int:
        found = DESCRIPTOR.describe_query(pixels)
        return COSINE_STEPS if found is None else int(distances(found, stored[row]).min())

    names, kept = [name for name, _ in seen.values()], [data for _, data in seen.values()]
    _write(
        DESCRIPTOR.algorithm,
        COSINE_STEPS,
        names,
        kept,
        np.array(nearest, np.uint16),
        _copies(kept, least),
    )


def measure_deep(algorithm: str) -> None:
    """Measure a deep hash, one code against another."""
    hasher = DEEP_HASHES[algorithm]
    files = [
        entry
        for archive in ARCHIVES
        for entry in encoded_pictures(archive, held_out=True)
        if part_of(entry[0]) == Part.TUNE
    ]
    seen: dict[str, tuple[str, bytes]] = {}
    for entry in files:
        seen.setdefault(decode(entry[1]).pixel_sha256, entry)
    names, kept = [name for name, _ in seen.values()], [data for _, data in seen.values()]

    def words(data: bytes) -> npt.NDArray[np.uint64]:
        return _words(hasher.encode([decode(data).pixels])[0][0].tobytes())

    stored = np.stack([words(data) for data in track(kept)])
    matrix = np.stack([np.bitwise_count(stored ^ row).sum(1, dtype=np.uint16) for row in stored])

    def turned(row: int, pixels: npt.NDArray[np.uint8]) -> int:
        code = _words(hasher.encode([pixels])[0][0].tobytes())
        return int(np.bitwise_count(stored[row] ^ code).sum())

    _write(algorithm, hasher.length, names, kept, matrix, _copies(kept, turned))


def _write(
    algorithm: str,
    length: int,
    names: list[str],
    kept: list[bytes],
    matrix: npt.NDArray[np.uint16],
    copies: dict[str, list[int]],
) -> None:
    """Leave out pairs that share pixels, and write the curve."""
    upper = np.triu(np.ones(matrix.shape, dtype=bool), 1)
    # So many of the nearest are looked at: where the thresholds will be.
    suspect = np.sort(matrix[upper])[int(SUSPECTS * upper.sum())]
    shared = [
        (int(i), int(j))
        for i, j in zip(*np.nonzero(upper & (matrix <= suspect)), strict=True)
        if share_pixels(kept[i], kept[j])
    ]
    for i, j in shared:
        upper[i, j] = False
    histogram = np.bincount(matrix[upper], minlength=length + 1)
    curve: dict[str, Any] = {
        "algorithm": algorithm,
        "length": length,
        "pictures": len(names),
        "pairs": int(histogram.sum()),
        "data": f"tuning {'part' if algorithm in LEARNT else 'half'} of Flickr8k (re-encoded at 224x224) and Caltech"
        " 101, usable pictures, distinct pixels",
        "command": f"python -m provenance.training.impostor_curves {algorithm}",
        "excluded_pairs_thatshare_pixels": sorted([names[i], names[j]] for i, j in shared),
        "histogram": histogram.tolist(),
        "copies": copies,
    }
    CURVES.mkdir(exist_ok=True)
    (CURVES / f"{algorithm}.json").write_text(json.dumps(curve) + "\n")
    print(algorithm, curve["pairs"], "pairs;", len(shared), "left out; within", suspect, int(histogram[:suspect].sum()))


def _copies(kept: list[bytes], least: Callable[[int, npt.NDArray[np.uint8]], int]) -> dict[str, list[int]]:
    """Return for each edit the distances of copies to their sources, ascending."""
    rows = np.linspace(0, len(kept) - 1, min(COPIED, len(kept))).astype(int)

    def all_edits(row: int) -> list[int]:
        pixels = decode(kept[row]).pixels
        return [least(int(row), apply(edit, pixels, int(row))) for edit in EDITS]

    with ThreadPoolExecutor() as pool:
        found = np.array(list(track(pool.map(all_edits, rows), total=len(rows))))
    return {edit: np.sort(column).tolist() for edit, column in zip(EDITS, found.T, strict=True)}


def _least(hasher: Hasher, stored: bytes, pixels: npt.NDArray[np.uint8]) -> int:
    code = HashCode(hasher.algorithm, stored, hasher.length)
    return min(hamming(variant, code) for variant in hasher.hash_dihedral(pixels))


def _describe(data: bytes) -> tuple[str, Vectors | None, Vectors | None]:
    picture = decode(data)
    return picture.pixel_sha256, DESCRIPTOR.describe_crops(picture.pixels), DESCRIPTOR.describe_query(picture.pixels)


def _hash(hasher: Hasher, data: bytes) -> tuple[str, bytes, list[bytes]]:
    picture = decode(data)
    (fingerprint,) = hasher.hash([picture.pixels])
    variants = [code.bits for code in hasher.hash_dihedral(picture.pixels)] if fingerprint.usable else []
    return picture.pixel_sha256, fingerprint.code.bits, variants


def _nearest(codes: _Codes) -> npt.NDArray[np.uint16]:
    """Return uint16 [N,N]: the distance of query i's nearest variant to the stored code j."""
    stored = np.stack([_words(code) for code in codes.stored])
    result = np.empty((len(stored), len(stored)), dtype=np.uint16)
    for row, variants in enumerate(codes.queries):
        packed = np.stack([_words(code) for code in variants])
        counts = np.bitwise_count(packed[:, None, :] ^ stored[None, :, :]).sum(axis=2, dtype=np.uint16)
        result[row] = counts.min(axis=0)
    return result


def _words(code: bytes) -> npt.NDArray[np.uint64]:
    return np.frombuffer(code.ljust(-(-len(code) // 8) * 8, b"\0"), dtype=np.uint64)


def share_pixels(one: bytes, other: bytes) -> bool:
    found = align(decode(one).pixels, decode(other).pixels)
    return found is not None and found.inliers >= SHARED_INLIERS and found.similarity > 0.5


if __name__ == "__main__":
    main()
