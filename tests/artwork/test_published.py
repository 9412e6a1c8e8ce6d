"""The published tier from its files to a work: the real formats and architectures, random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from provenance.artwork import tiers
from provenance.artwork.generator import decode_codes, generate
from provenance.artwork.recipe import Mode, Preset, Tier, make_recipe
from provenance.artwork.words import unknown_words
from provenance.models import store
from tests.artwork.conftest import KEY, PROMPT, SIGNATURE
from tests.provenance.models.published import CLIP_VECTORS, VQGAN_VECTORS, random_weights, read, save_as_lightning

# Its weights of the real sizes are written once.
pytestmark = pytest.mark.xdist_group("published weights")

PRESET = Preset(side=32, iterations=2, crops=1)


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both files where ``provenance models pull`` puts them."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVENANCE_MODELS", str(folder))
        save_as_lightning(random_weights(read(VQGAN_VECTORS)["shapes"]), folder / store.get("vqgan-f16-16384").file)
        halves = {key: tensor.half() for key, tensor in random_weights(read(CLIP_VECTORS)["shapes"]).items()}
        save_file(halves, folder / store.get("clip-vit-b-32").file)
        tiers.load.cache_clear()
        yield folder
        tiers.load.cache_clear()
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("mode", list(Mode))
def test_a_work_of_the_published_models(pulled: Path, mode: Mode) -> None:
    recipe = make_recipe(
        prompt=PROMPT, signature=SIGNATURE, preset=PRESET, mode=mode, tier=Tier.PUBLISHED, salt=bytes(16)
    )
    assert recipe.generator == ("vqgan-f16-16384", store.sha256("vqgan-f16-16384"))
    made = generate(recipe, PROMPT, KEY)
    assert made.pixels.shape == (32, 32, 3)
    assert made.codes.shape == (1, 2, 2)
    assert len(np.unique(made.pixels)) > 50
    assert generate(recipe, PROMPT, bytes(32)).latent_sha256 != made.latent_sha256
    if mode is Mode.CANONICAL:
        torch.set_num_threads(3)
        again = generate(recipe, PROMPT, KEY)
        assert (again.pixel_sha256, again.latent_sha256) == (made.pixel_sha256, made.latent_sha256)
        assert np.array_equal(decode_codes(recipe, made.codes), made.pixels)


def test_no_word_is_unknown_to_the_published_tower() -> None:
    assert unknown_words("zyx", Tier.PUBLISHED) == []
