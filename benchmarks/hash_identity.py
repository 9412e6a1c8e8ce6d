"""Are a hash's bits the same whatever the machine forces upon its kernels? Each profile is a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

from benchmarks.results import QUICK
from provenance.hashing.dinohash import DinoHash
from provenance.hashing.hasher import HASHERS

PICTURES = 4 if QUICK else 24
PROFILES: tuple[dict[str, str], ...] = (
    {"THREADS": "1"},
    {"THREADS": "2"},
    *(
        ()
        if QUICK
        else (
            {"THREADS": "3"},
            {"THREADS": "8"},
            {"THREADS": "1", "ATEN_CPU_CAPABILITY": "default"},
            {"THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2"},
            {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
            {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
            {"THREADS": "1", "MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
        )
    ),
)


def measure() -> tuple[str, int, int]:
    """Return a table in Markdown, how many profiles there are, and how many gave the bits of the first."""
    first: dict[str, str] = {}
    lines = ["| profile | bits of all pictures as in the first row |", "|---|---|"]
    equal = 0
    for profile in PROFILES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.hash_identity"],
            env={**os.environ, **profile},
            check=True,
            capture_output=True,
            text=True,
        )
        digests = json.loads(done.stdout.splitlines()[-1])
        first = first or digests
        same = [name for name in first if digests[name] == first[name]]
        equal += len(same) == len(first)
        words = "yes" if len(same) == len(first) else f"no: {', '.join(set(first) - set(same))}"
        lines.append(f"| {' '.join(f'{key}={value}' for key, value in profile.items())} | {words} |")
    return "\n".join(lines), len(PROFILES), equal


def main() -> None:
    """Print the digest of each learnt hash's bits, of test photographs, one at a time and eight at once."""
    import torch

    from benchmarks.recall import photographs
    from provenance.images.decode import decode

    torch.set_num_threads(int(os.environ["THREADS"]))
    pictures = [decode(data).pixels for _name, data in photographs(PICTURES)]
    digests = {}
    for algorithm, hasher in HASHERS.items():
        if isinstance(hasher, DinoHash):
            digest = hashlib.sha256()
            for size in (1, 8):
                for start in range(0, len(pictures), size):
                    for found in hasher.hash(pictures[start : start + size]):
                        digest.update(found.code.bits)
            digests[algorithm] = digest.hexdigest()
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
