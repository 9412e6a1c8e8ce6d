"""The weights in the package: they paint what the words say, and the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from provenance.artwork import tiers
from provenance.artwork.generator import RGB, Artwork, generate
from provenance.artwork.recipe import Mode, Preset, make_recipe
from provenance.artwork.words import unknown_words
from provenance.images.quality import psnr
from provenance.models.text_image import SIDE
from provenance.models.words import MAX_WORDS
from provenance.training.text_image import as_input
from tests.artwork.conftest import KEY, SIGNATURE

# Its pictures take a while: one process makes them for all tests.
pytestmark = pytest.mark.xdist_group("shipped weights")

PROMPTS = ("a green forest", "a red sunset over the sea", "two dogs run in the snow", "blue")
QUICK = Preset(side=96, iterations=30, crops=8)
# Of a canonical run of the package's weights: any machine must come to these.
GOLDEN_PIXELS = "e3c47431b86fd4d75eff12f127af4aa36fea29bfd27d18d62b81272d145c07ef"
GOLDEN_LATENT = "cb5b7f3d67239b07a265617ad2031a9ab71925e406e6929d3313855d31c0582d"


@pytest.fixture(scope="module", autouse=True)
def loaded_anew() -> Iterator[None]:
    tiers.load.cache_clear()
    yield
    tiers.load.cache_clear()


@pytest.fixture(scope="module")
def painted() -> dict[str, tuple[Artwork, list[float]]]:
    torch.set_num_threads(1)
    found = {}
    for prompt in PROMPTS:
        recipe = make_recipe(prompt=prompt, signature=SIGNATURE, preset=QUICK, mode=Mode.FAST, salt=bytes(16))
        losses: list[float] = []
        made = generate(recipe, prompt, KEY, on_iteration=lambda each, losses=losses: losses.append(each.loss))  # type: ignore[misc]
        found[prompt] = (made, losses)
    return found


def similar(texts: list[str], pictures: list[RGB]) -> torch.Tensor:
    """Return the cosine of each text to each picture as a whole."""
    image, text = tiers.load_text_image()
    small = np.stack([cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in pictures])
    with torch.no_grad():
        return functional.normalize(text(*text.tokens(texts))) @ functional.normalize(image(as_input(small))).T


def test_every_machine_makes_this_work() -> None:
    prompt = "a red sunset over the sea"
    recipe = make_recipe(prompt=prompt, signature=SIGNATURE, preset=Preset(64, 5, 4), salt=bytes(16))
    made = generate(recipe, prompt, KEY)
    assert (made.pixel_sha256, made.latent_sha256) == (GOLDEN_PIXELS, GOLDEN_LATENT)


def test_the_loop_comes_nearer_to_the_words(painted: dict[str, tuple[Artwork, list[float]]]) -> None:
    for prompt, (_, losses) in painted.items():
        assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05, prompt


def test_each_picture_fits_its_own_words_best(painted: dict[str, tuple[Artwork, list[float]]]) -> None:
    table = similar(list(PROMPTS), [made.pixels for made, _ in painted.values()])
    assert table.argmax(0).tolist() == [0, 1, 2, 3]


def test_colours_are_those_that_were_asked_for(painted: dict[str, tuple[Artwork, list[float]]]) -> None:
    red, _, blue = painted["blue"][0].pixels.reshape(-1, 3).mean(0)
    assert blue > red + 20
    red, green, blue = painted["a green forest"][0].pixels.reshape(-1, 3).mean(0)
    assert green > max(red, blue)
    assert painted["two dogs run in the snow"][0].pixels.mean() > painted["a green forest"][0].pixels.mean() + 20


def test_the_guide_knows_photographs() -> None:
    photographs = [data.chelsea(), data.astronaut(), data.coffee(), data.rocket()]
    texts = ["a cat", "a woman smiles", "a cup of coffee on a table", "a rocket stands in the night"]
    table = similar(texts, photographs)
    assert (table.argmax(0) == torch.arange(4)).sum() >= 3


def test_the_generator_keeps_photographs_recognisable() -> None:
    net = tiers.load_small_vqgan()
    for photograph in (data.chelsea()[:296, :448], data.coffee(), data.astronaut()):
        x = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            made = net.decode(net.encode(x))
        pixels = ((made + 1) * 127.5).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
        assert psnr(photograph, pixels) > 20


def test_unknown_words_are_named() -> None:
    assert unknown_words("A red dog, a Zyxqop and a zyxqop!") == ["zyxqop"]


def test_words_of_other_letters_are_named_whole() -> None:
    assert unknown_words("Ein rotes Café, 日本の庭 and a red_dog") == ["ein", "rotes", "café", "日本の庭"]
    assert unknown_words("красный dog") == ["красный"]


def test_words_that_are_not_read_are_not_named() -> None:
    assert unknown_words("dog " * MAX_WORDS + "zyxqop") == []
    assert unknown_words("dog " * (MAX_WORDS - 1) + "zyxqop") == ["zyxqop"]
