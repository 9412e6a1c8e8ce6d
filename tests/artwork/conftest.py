"""The weights that the artworks' tests paint with, and one thread for all that is not about threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from provenance.artwork import recipe as recipes
from provenance.artwork.recipe import Mode, Preset, Recipe, make_recipe
from provenance.artwork.signature import Signature
from tests.artwork import weights

PROMPT = "a red mountain lake at sunset, with mist"
KEY = bytes(range(32))
SIGNATURE = Signature(byte_digest=KEY, pixel_digest=None)
TINY = Preset(side=64, iterations=3, crops=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine lose more by waiting for their threads than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    weights.write(folder)
    return folder


@pytest.fixture(scope="module")
def shipped(weights_folder: Path) -> Iterator[Path]:
    with weights.shipped_from(weights_folder):
        yield weights_folder


@pytest.fixture(scope="module")
def canonical(shipped: Path) -> Recipe:
    return tiny_recipe(Mode.CANONICAL)


@pytest.fixture(scope="module")
def fast(shipped: Path) -> Recipe:
    return tiny_recipe(Mode.FAST)


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(recipes.PRESETS, "tiny", TINY)
    return "tiny"


def tiny_recipe(mode: Mode) -> Recipe:
    return make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, mode=mode, salt=bytes(16))
