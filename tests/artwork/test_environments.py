"""The canonical run under what a machine may force upon its kernels, each in a process of its own, two at once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.artwork.test_generator import GOLDEN_LATENT, GOLDEN_PIXELS

ENVIRONMENTS = [
    {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"OMP_NUM_THREADS": "3", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"OMP_NUM_THREADS": "5", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
]
PROGRAM = """
import sys
from pathlib import Path
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Mode
from tests.artwork import weights
from tests.artwork.conftest import KEY, PROMPT, tiny_recipe

with weights.shipped_from(Path(sys.argv[1])):
    made = generate(tiny_recipe(Mode(sys.argv[2])), PROMPT, KEY)
print(made.pixel_sha256, made.latent_sha256)
"""


def digests(folder: Path, mode: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), mode],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_canonical_works_are_the_same_everywhere(weights_folder: Path, pool: ThreadPoolExecutor) -> None:
    found = list(pool.map(lambda environment: digests(weights_folder, "canonical", environment), ENVIRONMENTS))
    assert found == [[GOLDEN_PIXELS, GOLDEN_LATENT]] * len(ENVIRONMENTS)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these caps are those of x86")
def test_stock_kernels_are_not(weights_folder: Path, pool: ThreadPoolExecutor) -> None:
    """Were they, these environments would show nothing."""
    found = list(pool.map(lambda environment: digests(weights_folder, "fast", environment), ENVIRONMENTS[:2]))
    assert found[0] != found[1]
