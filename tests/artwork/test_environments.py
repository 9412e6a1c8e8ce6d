"""Works under what a machine may force upon its kernels, each in a process of its own, two at once."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance.artwork.recipe import Mode
from tests.artwork.test_generator import GOLDEN_LATENT, GOLDEN_PIXELS

# Its processes are made once.
pytestmark = pytest.mark.xdist_group("environments")

ENVIRONMENTS = [
    {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"OMP_NUM_THREADS": "3", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"OMP_NUM_THREADS": "5", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
]
PROGRAM = """
import json, sys
from pathlib import Path
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Mode
from tests.artwork import weights
from tests.artwork.conftest import KEY, PROMPT, tiny_recipe

with weights.shipped_from(Path(sys.argv[1])):
    made = {mode: generate(tiny_recipe(mode), PROMPT, KEY) for mode in Mode}
print(json.dumps({mode: [each.pixel_sha256, each.latent_sha256] for mode, each in made.items()}))
"""


def digests(folder: Path, environment: dict[str, str]) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(weights_folder: Path) -> list[dict[str, list[str]]]:
    """What each environment makes, in each mode."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda environment: digests(weights_folder, environment), ENVIRONMENTS))


def test_canonical_works_are_the_same_everywhere(found: list[dict[str, list[str]]]) -> None:
    assert [each[Mode.CANONICAL] for each in found] == [[GOLDEN_PIXELS, GOLDEN_LATENT]] * len(ENVIRONMENTS)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these caps are those of x86")
def test_stock_kernels_are_not(found: list[dict[str, list[str]]]) -> None:
    """Were they, these environments would show nothing."""
    assert found[0][Mode.FAST] != found[1][Mode.FAST]
