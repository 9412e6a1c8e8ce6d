"""Measure how aligned pairs score, true copies and different pictures, for the thresholds of pair verification.

    python -m provenance.training.verification_rates [--pairs 10000] [--held-out]

Impostors are hard: for each picture its nearest neighbours by PDQ and pHash (dihedral) and others of its Caltech
class. Genuine pairs are edited copies (the site's and Thorn's presets). Prints, for a grid of thresholds, the share
of genuine pairs verified and of impostors falsely verified, with exact 95 % bounds.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from provenance.hashing.hasher import HASHERS
from provenance.images.align import Alignment, Features, align, align_features, features
from provenance.images.decode import decode
from provenance.images.edits import PRESETS, SITE, THORN, apply
from provenance.training.pictures import encoded_pictures

Score = tuple[int, float, float, float]


def main() -> None:
    """Measure both kinds of pairs and write their scores as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--genuine", type=int, default=100)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("verification_rates.jsonl"))
    chosen = parser.parse_args()
    files = list(encoded_pictures("caltech101.tar", held_out=chosen.held_out))
    files += list(encoded_pictures("flickr8k.tar", held_out=chosen.held_out))[: len(files)]
    with ProcessPoolExecutor() as pool, chosen.output.open("w") as out:
        described = list(track(pool.map(_describe, files, chunksize=16), total=len(files), description="features"))
        pairs = _hard_pairs([name for name, _data in files], described, chosen.pairs)
        for i, j in track(pairs, description="impostors"):
            score = _score(align_features(described[i][0], described[j][0]))
            if score:
                out.write(json.dumps({"kind": "impostor", "pair": [files[i][0], files[j][0]], "score": score}) + "\n")
        out.write(json.dumps({"kind": "impostors", "pairs": len(pairs)}) + "\n")
        step = max(1, len(files) // chosen.genuine)
        jobs = [(entry, preset) for entry in files[::step] for preset in dict.fromkeys((*SITE, *THORN))]
        for line in track(pool.map(_genuine, jobs, chunksize=8), total=len(jobs), description="copies"):
            out.write(json.dumps(line) + "\n")


def _describe(entry: tuple[str, bytes]) -> tuple[Features, dict[str, tuple[bytes, list[bytes]]]]:
    pixels = decode(entry[1]).pixels
    hashed = {
        algorithm: (hasher.hash([pixels])[0].code.bits, [code.bits for code in hasher.hash_dihedral(pixels)])
        for algorithm, hasher in HASHERS.items()
    }
    return features(pixels), hashed


def _hard_pairs(names: list[str], described: list[Any], wanted: int) -> list[tuple[int, int]]:
    pairs: dict[tuple[int, int], None] = {}
    per_picture = max(1, wanted // (3 * len(names)))
    classes = defaultdict(list)
    for index, name in enumerate(names):
        if "caltech" in name or name.count("/") > 0:
            classes[name.rsplit("/", 1)[0]].append(index)
    for algorithm in HASHERS:
        stored = np.stack([np.frombuffer(hashed[algorithm][0], dtype=np.uint64) for _features, hashed in described])
        for i, (_features, hashed) in enumerate(described):
            variants = np.stack([np.frombuffer(code, dtype=np.uint64) for code in hashed[algorithm][1]])
            distance = np.bitwise_count(variants[:, None] ^ stored[None]).sum(axis=2, dtype=np.int32).min(axis=0)
            distance[i] = 10_000
            for j in np.argsort(distance, kind="stable")[:per_picture]:
                pairs[(min(i, int(j)), max(i, int(j)))] = None
    chosen = np.random.default_rng(0)
    small = [members for members in classes.values() if 1 < len(members) < 100]
    while len(pairs) < wanted and small:
        members = small[chosen.integers(len(small))]
        i, j = sorted(chosen.choice(members, 2, replace=False).tolist())
        pairs[(i, j)] = None
    return list(pairs)[:wanted]


def _score(found: Alignment | None) -> Score | None:
    if found is None:
        return None
    overlap = max(found.overlap_query, found.overlap_reference)
    return found.inliers, round(found.inlier_ratio, 3), round(found.similarity, 3), round(overlap, 3)


def _genuine(job: tuple[tuple[str, bytes], str]) -> dict[str, Any]:
    (name, data), preset = job
    pixels = decode(data).pixels
    return {"kind": "copy", "name": name, "preset": preset, "score": _score(align(apply(preset, pixels, 0), pixels))}


if __name__ == "__main__":
    assert set(SITE) <= set(PRESETS)
    main()
