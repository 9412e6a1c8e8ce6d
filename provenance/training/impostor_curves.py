"""Measure how near the codes of different pictures come, for every hash algorithm of the product.

    python -m provenance.training.impostor_curves

Every picture of the tuning half of Flickr8k and Caltech 101 is compared with every later one as the site's search
does it: the eight dihedral variants of the query against the stored code, the smallest distance counts. Pairs of
files with equal pixels, and pairs that verification finds to share pixels, are not impostors and are left out; they
are looked for among all pairs nearer than ``SUSPECT``. Writes ``provenance/matching/curves/<algorithm>.json``.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from provenance.hashing.hasher import HASHERS
from provenance.images.align import align
from provenance.images.decode import decode
from provenance.training.pictures import encoded_pictures

CURVES = Path(__file__).resolve().parent.parent / "matching" / "curves"
ARCHIVES = ("flickr8k.tar", "caltech101.tar")
# As a fraction of the code's length: pairs this near are looked at before they count as impostors.
SUSPECT = 0.25
SHARED_INLIERS = 20


@dataclass
class _Codes:
    stored: list[bytes]
    queries: list[list[bytes]]


def main() -> None:
    """Measure and write all curves."""
    files = [entry for archive in ARCHIVES for entry in encoded_pictures(archive, held_out=False)]
    codes = {algorithm: _Codes([], []) for algorithm in HASHERS}
    names: list[str] = []
    kept: list[bytes] = []
    seen: set[str] = set()
    with ThreadPoolExecutor() as pool:
        for (name, data), found in zip(files, track(pool.map(_hash, files), total=len(files)), strict=True):
            pixels, hashed = found
            if pixels in seen or not hashed:
                continue
            seen.add(pixels)
            names.append(name)
            kept.append(data)
            for algorithm, (stored, queries) in hashed.items():
                codes[algorithm].stored.append(stored)
                codes[algorithm].queries.append(queries)
    copies: set[tuple[int, int]] = set()
    matrices = {algorithm: _nearest(codes[algorithm]) for algorithm in HASHERS}
    for algorithm, matrix in matrices.items():
        limit = int(SUSPECT * HASHERS[algorithm].length) if algorithm != "phash-v1" else 10
        for i, j in zip(*np.nonzero(matrix <= limit), strict=True):
            if i < j and (i, j) not in copies and _share_pixels(kept[i], kept[j]):
                copies.add((int(i), int(j)))
    CURVES.mkdir(exist_ok=True)
    for algorithm, matrix in matrices.items():
        upper = np.triu(np.ones(matrix.shape, dtype=bool), 1)
        for i, j in copies:
            upper[i, j] = False
        histogram = np.bincount(matrix[upper], minlength=HASHERS[algorithm].length + 1)
        plain = np.bincount(_nearest(codes[algorithm], dihedral=False)[upper], minlength=histogram.size)
        curve: dict[str, Any] = {
            "algorithm": algorithm,
            "length": HASHERS[algorithm].length,
            "pictures": len(names),
            "pairs": int(histogram.sum()),
            "data": "tuning half of Flickr8k (re-encoded at 224x224) and Caltech 101, usable pictures, distinct pixels",
            "command": "python -m provenance.training.impostor_curves",
            "excluded_pairs_that_share_pixels": sorted([names[i], names[j]] for i, j in copies),
            "histogram": histogram.tolist(),
            "histogram_without_dihedral": plain.tolist(),
        }
        (CURVES / f"{algorithm}.json").write_text(json.dumps(curve) + "\n")
        below = np.cumsum(histogram)
        print(algorithm, curve["pairs"], "pairs;", len(copies), "left out;", [int(v) for v in below[:100:4]])


def _hash(entry: tuple[str, bytes]) -> tuple[str, dict[str, tuple[bytes, list[bytes]]]]:
    picture = decode(entry[1])
    hashed = {}
    for algorithm, hasher in HASHERS.items():
        fingerprint = hasher.hash([picture.pixels])[0]
        if not fingerprint.usable:
            return picture.pixel_sha256, {}
        variants = [code.bits for code in hasher.hash_dihedral(picture.pixels)]
        hashed[algorithm] = (fingerprint.code.bits, variants)
    return picture.pixel_sha256, hashed


def _nearest(codes: _Codes, *, dihedral: bool = True) -> npt.NDArray[np.uint16]:
    """Return uint16 [N,N]: the distance of query i's nearest variant to the stored code j."""
    stored = np.stack([np.frombuffer(code, dtype=np.uint64) for code in codes.stored])
    result = np.empty((len(stored), len(stored)), dtype=np.uint16)
    for row, variants in enumerate(codes.queries):
        packed = np.stack([np.frombuffer(code, dtype=np.uint64) for code in variants[: 8 if dihedral else 1]])
        counts = np.bitwise_count(packed[:, None, :] ^ stored[None, :, :]).sum(axis=2, dtype=np.uint16)
        result[row] = counts.min(axis=0)
    return result


def _share_pixels(one: bytes, other: bytes) -> bool:
    found = align(decode(one).pixels, decode(other).pixels)
    return found is not None and found.inliers >= SHARED_INLIERS and found.similarity > 0.5


if __name__ == "__main__":
    main()
