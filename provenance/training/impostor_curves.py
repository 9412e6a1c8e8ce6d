"""Measure how near the codes of different pictures come, and those of edited copies, for hash algorithms.

    python -m provenance.training.impostor_curves ALGORITHM...

Every picture is compared with every later one as the site's search does it: the eight dihedral variants of the query
against the stored code, the smallest distance counts. Pairs of files with equal pixels, and pairs that verification
finds to share pixels, are not impostors and are left out; they are looked for among all pairs nearer than ``SUSPECT``.
Then edited copies of ``COPIED`` of the pictures are compared with their sources. An algorithm that was learnt is
measured on the part of Flickr8k and Caltech 101 that is for tuning, any other on the tuning half. Writes
``provenance/matching/curves/<algorithm>.json``.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from provenance.hashing.code import HashCode, hamming
from provenance.hashing.hasher import HASHERS, Hasher
from provenance.images.align import align
from provenance.images.decode import decode
from provenance.images.edits import DINOHASH_STACKS, SITE, THORN, apply
from provenance.training.pictures import Part, encoded_pictures, part_of

CURVES = Path(__file__).resolve().parent.parent / "matching" / "curves"
ARCHIVES = ("flickr8k.tar", "caltech101.tar")
LEARNT = ("dinohash-house-v1",)
EDITS = tuple(dict.fromkeys((*DINOHASH_STACKS, *THORN, *SITE)))
COPIED = 400
# As a fraction of the code's length: pairs this near are looked at before they count as impostors.
SUSPECT = 0.25
SHARED_INLIERS = 20


@dataclass
class _Codes:
    stored: list[bytes]
    queries: list[list[bytes]]


def main() -> None:
    """Measure and write the curves of the algorithms named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="+", choices=tuple(HASHERS))
    for algorithm in parser.parse_args().algorithms:
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
    hasher = HASHERS[algorithm]
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
    matrix = _nearest(codes)
    upper = np.triu(np.ones(matrix.shape, dtype=bool), 1)
    copies = [
        (int(i), int(j))
        for i, j in zip(*np.nonzero(upper & (matrix <= int(SUSPECT * hasher.length))), strict=True)
        if _share_pixels(kept[i], kept[j])
    ]
    for i, j in copies:
        upper[i, j] = False
    histogram = np.bincount(matrix[upper], minlength=hasher.length + 1)
    plain = np.bincount(_nearest(codes, dihedral=False)[upper], minlength=histogram.size)
    curve: dict[str, Any] = {
        "algorithm": algorithm,
        "length": hasher.length,
        "pictures": len(names),
        "pairs": int(histogram.sum()),
        "data": f"tuning {'part' if learnt else 'half'} of Flickr8k (re-encoded at 224x224) and Caltech 101, usable"
        " pictures, distinct pixels",
        "command": f"python -m provenance.training.impostor_curves {algorithm}",
        "excluded_pairs_that_share_pixels": sorted([names[i], names[j]] for i, j in copies),
        "histogram": histogram.tolist(),
        "histogram_without_dihedral": plain.tolist(),
        "copies": _copies(hasher, kept, codes),
    }
    CURVES.mkdir(exist_ok=True)
    (CURVES / f"{algorithm}.json").write_text(json.dumps(curve) + "\n")
    below = np.cumsum(histogram)
    print(algorithm, curve["pairs"], "pairs;", len(copies), "left out;", [int(v) for v in below[:100:4]])


def _copies(hasher: Hasher, kept: list[bytes], codes: _Codes) -> dict[str, list[int]]:
    """Return for each edit the histogram of the distances of copies to their sources."""
    rows = np.linspace(0, len(kept) - 1, min(COPIED, len(kept))).astype(int)

    def distances(row: int) -> list[int]:
        pixels = decode(kept[row]).pixels
        stored = HashCode(hasher.algorithm, codes.stored[row], hasher.length)
        return [
            min(hamming(code, stored) for code in hasher.hash_dihedral(apply(edit, pixels, int(row)))) for edit in EDITS
        ]

    with ThreadPoolExecutor() as pool:
        found = np.array(list(track(pool.map(distances, rows), total=len(rows))))
    return {
        edit: np.bincount(column, minlength=hasher.length + 1).tolist()
        for edit, column in zip(EDITS, found.T, strict=True)
    }


def _hash(hasher: Hasher, data: bytes) -> tuple[str, bytes, list[bytes]]:
    picture = decode(data)
    (fingerprint,) = hasher.hash([picture.pixels])
    variants = [code.bits for code in hasher.hash_dihedral(picture.pixels)] if fingerprint.usable else []
    return picture.pixel_sha256, fingerprint.code.bits, variants


def _nearest(codes: _Codes, *, dihedral: bool = True) -> npt.NDArray[np.uint16]:
    """Return uint16 [N,N]: the distance of query i's nearest variant to the stored code j."""
    stored = np.stack([_words(code) for code in codes.stored])
    result = np.empty((len(stored), len(stored)), dtype=np.uint16)
    for row, variants in enumerate(codes.queries):
        packed = np.stack([_words(code) for code in variants[: 8 if dihedral else 1]])
        counts = np.bitwise_count(packed[:, None, :] ^ stored[None, :, :]).sum(axis=2, dtype=np.uint16)
        result[row] = counts.min(axis=0)
    return result


def _words(code: bytes) -> npt.NDArray[np.uint64]:
    return np.frombuffer(code.ljust(-(-len(code) // 8) * 8, b"\0"), dtype=np.uint64)


def _share_pixels(one: bytes, other: bytes) -> bool:
    found = align(decode(one).pixels, decode(other).pixels)
    return found is not None and found.inliers >= SHARED_INLIERS and found.similarity > 0.5


if __name__ == "__main__":
    main()
