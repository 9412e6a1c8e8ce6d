"""Fit how likely it is that a picture has a signature, from how far the pattern stands out in it::

    python -m provenance.training.signature_presence WORK

Pictures: the tuning part of Flickr8k and Caltech-101, which the networks did not learn from, each once as it is and
once signed by one pass of the injector, both with the same one or two named edits. What each is read as is kept in
``WORK/presence.jsonl``, and a run goes on from there. It prints the numbers of :mod:`provenance.watermark.presence`,
fitted to one half of the pictures, and how they do on the other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator

from provenance.detection.calibration import auc, platt
from provenance.images.decode import decode
from provenance.images.edits import PRESETS
from provenance.training.pictures import Part, encoded_pictures, part_of
from provenance.watermark.payload import TAG_BITS, Payload
from provenance.watermark.presence import strength
from provenance.watermark.read import read
from provenance.watermark.sign import CannotBeSigned, sign

_ARCHIVES = ("flickr8k.tar", "caltech101.tar")
_FALSE_ALARMS = 0.01


def looked_at(name: str, pixels: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Return what a picture is read as without and with a signature, after the same edits."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    random = Generator(PCG64(seed))
    payload = Payload(int(random.integers(1 << 24)), random.bytes(TAG_BITS // 8))
    edits = random.choice(list(PRESETS), int(random.integers(1, 3)))
    rows: list[dict[str, Any]] = []
    for signed in (False, True):
        edited = sign(pixels, payload) if signed else pixels
        for place, edit in enumerate(edits):
            edited = np.ascontiguousarray(PRESETS[edit](edited, Generator(PCG64(seed + place))))
        readings = read(edited)
        found = any(reading.payload == payload for reading in readings)
        rows.append({"name": name, "edits": list(edits), "signed": signed, "read": found,
                     "strength": strength(readings)})  # fmt: skip
    return rows


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for what was read")
    parser.add_argument("--pictures", type=int, default=400, help="of each archive at most")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "presence.jsonl"
    done = {json.loads(line)["name"] for line in path.read_text().splitlines()} if path.is_file() else set()
    for archive in _ARCHIVES:
        tuning = (pair for pair in encoded_pictures(archive, held_out=True) if part_of(pair[0]) is Part.TUNE)
        for name, encoded in islice(tuning, chosen.pictures):
            if name in done:
                continue
            try:
                rows = looked_at(name, decode(encoded).pixels)
            except CannotBeSigned:
                continue
            with path.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    names = sorted({row["name"] for row in rows})
    half = set(names[::2])
    strengths = np.array([row["strength"] for row in rows])
    signed = np.array([row["signed"] for row in rows])
    fitted = np.array([row["name"] in half for row in rows])
    slope, intercept = platt(strengths[fitted], signed[fitted])
    kept = ~fitted
    certain = float(np.quantile(strengths[fitted & ~signed], 1 - _FALSE_ALARMS))
    print(f"{len(names)} pictures; SLOPE, INTERCEPT = {slope:.3f}, {intercept:.3f}; CERTAIN = {certain:.2f}")
    unread = kept & signed & ~np.array([row["read"] for row in rows])
    print(
        f"other half: AUC {auc(strengths[kept & signed], strengths[kept & ~signed]):.4f}; from CERTAIN on"
        f" {(strengths[kept & ~signed] >= certain).mean():.4f} of those without one,"
        f" {(strengths[kept & signed] >= certain).mean():.4f} of the signed,"
        f" {(strengths[unread] >= certain).mean():.4f} of the {unread.sum()} of them that were not read"
    )


if __name__ == "__main__":
    main()
