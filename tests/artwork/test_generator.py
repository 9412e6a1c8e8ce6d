"""The loop: the same work from the same secrets, another from any others, and going on where it was stopped."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from provenance.artwork.generator import Artwork, CheckpointError, Iteration, decode_codes, generate
from provenance.artwork.recipe import Mode, Recipe, RecipeError, Scheme, make_recipe
from provenance.artwork.signature import Signature
from provenance.artwork.tiers import WrongModel
from provenance.models import catalogue
from provenance.models.errors import ModelMissing
from tests.artwork import weights
from tests.artwork.conftest import KEY, PROMPT, SIGNATURE, TINY, tiny_recipe

# Of the made-up weights, which are whole numbers: any machine must come to these.
GOLDEN_PIXELS = "11a537afce19a4417d13bb1d95617bb2bebacddc3b6bd5970050fc3553fb4aea"
GOLDEN_LATENT = "772b7955189d9fce5f3388e89c4ee04e8d835b293bb1f6743dc8682315b5791c"


@pytest.fixture(scope="module")
def undisturbed(canonical: Recipe) -> Artwork:
    torch.set_num_threads(1)
    return generate(canonical, PROMPT, KEY)


def stop_at(number: int) -> tuple[Callable[[Iteration], None], list[bytes]]:
    kept: list[bytes] = []

    def after(iteration: Iteration) -> None:
        if iteration.number == number:
            kept.append(iteration.checkpoint())
            raise KeyboardInterrupt

    return after, kept


def test_every_machine_makes_this_work(undisturbed: Artwork) -> None:
    assert undisturbed.pixel_sha256 == GOLDEN_PIXELS
    assert undisturbed.latent_sha256 == GOLDEN_LATENT


def test_a_work_is_pixels_codes_and_digests(canonical: Recipe, undisturbed: Artwork) -> None:
    assert undisturbed.pixels.shape == (64, 64, 3)
    assert undisturbed.pixels.dtype == np.uint8
    assert undisturbed.codes.shape == (2, 8, 8)
    assert undisturbed.iterations == canonical.iterations
    assert undisturbed.pixel_sha256 == hashlib.sha256(undisturbed.pixels.tobytes()).hexdigest()
    assert len(np.unique(undisturbed.pixels)) > 50, "a picture, not a flat field"


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_threads_do_not_matter(canonical: Recipe, undisturbed: Artwork, threads: int) -> None:
    torch.set_num_threads(threads)
    made = generate(canonical, PROMPT, KEY)
    assert (made.pixel_sha256, made.latent_sha256) == (undisturbed.pixel_sha256, undisturbed.latent_sha256)


def test_stock_seeds_do_not_matter(canonical: Recipe, undisturbed: Artwork) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    assert generate(canonical, PROMPT, KEY).latent_sha256 == undisturbed.latent_sha256


def test_white_space_around_the_prompt_and_its_unicode_form_do_not_matter(canonical: Recipe) -> None:
    one = generate(canonical, "café", KEY)
    assert generate(canonical, "  cafe\u0301\n", KEY).pixel_sha256 == one.pixel_sha256


@pytest.mark.parametrize(
    ("prompt", "key"),
    [(PROMPT + "s", KEY), (PROMPT.upper(), KEY), (PROMPT, bytes([1, *range(1, 32)])), (PROMPT, bytes(32))],
)
def test_other_secrets_make_another_work(canonical: Recipe, undisturbed: Artwork, prompt: str, key: bytes) -> None:
    made = generate(canonical, prompt, key)
    assert made.latent_sha256 != undisturbed.latent_sha256
    assert (made.codes == undisturbed.codes).mean() < 0.05
    assert (made.pixels == undisturbed.pixels).all(2).mean() < 0.05


def test_another_salt_makes_another_work(canonical: Recipe, undisturbed: Artwork) -> None:
    salted = make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, salt=b"another salt, 16")
    assert (generate(salted, PROMPT, KEY).codes == undisturbed.codes).mean() < 0.05


def test_every_number_of_the_recipe_matters(canonical: Recipe, undisturbed: Artwork) -> None:
    for changed in (
        replace(canonical, iterations=canonical.iterations + 1),
        replace(canonical, crops=canonical.crops + 1),
        replace(canonical, noise=0.23),
        replace(canonical, exclude=0.4),
        replace(canonical, exclusions=()),
    ):
        assert generate(changed, PROMPT, KEY).pixel_sha256 != undisturbed.pixel_sha256


def test_it_tells_where_it_stands(canonical: Recipe, undisturbed: Artwork) -> None:
    seen: list[tuple[int, int]] = []
    previews = []

    def after(iteration: Iteration) -> None:
        seen.append((iteration.number, iteration.total))
        previews.append(iteration.preview())
        iteration.checkpoint()

    made = generate(canonical, PROMPT, KEY, on_iteration=after)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert made.pixel_sha256 == undisturbed.pixel_sha256, "to look is not to touch"
    assert np.array_equal(previews[-1], made.pixels)
    assert not np.array_equal(previews[0], previews[1])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_it_goes_on_where_it_was_stopped(canonical: Recipe, undisturbed: Artwork, number: int) -> None:
    after, kept = stop_at(number)
    with pytest.raises(KeyboardInterrupt):
        generate(canonical, PROMPT, KEY, on_iteration=after)
    numbers: list[int] = []
    made = generate(
        canonical, PROMPT, KEY, checkpoint=kept[0], on_iteration=lambda iteration: numbers.append(iteration.number)
    )
    assert numbers == list(range(number + 1, 4))
    assert (made.pixel_sha256, made.latent_sha256) == (undisturbed.pixel_sha256, undisturbed.latent_sha256)


def test_a_checkpoint_that_is_not_its_own_is_refused(canonical: Recipe) -> None:
    after, kept = stop_at(1)
    with pytest.raises(KeyboardInterrupt):
        generate(canonical, PROMPT, KEY, on_iteration=after)
    good = kept[0]
    flipped = bytearray(good)
    flipped[-1] ^= 1
    longer = replace(canonical, iterations=4)
    for recipe, prompt, key, checkpoint in (
        (canonical, PROMPT, KEY, b""),
        (canonical, PROMPT, KEY, good[:-1]),
        (canonical, PROMPT, KEY, bytes(flipped)),
        (canonical, PROMPT, KEY, bytes(32) + struct.pack("<Qdd4Q", 1, 0, 0, 1, 1, 1, 1) + bytes(12)),
        (canonical, PROMPT, bytes(32), good),
        (canonical, "another", KEY, good),
        (longer, PROMPT, KEY, good),
    ):
        with pytest.raises(CheckpointError):
            generate(recipe, prompt, key, checkpoint=checkpoint)


def test_codes_alone_give_the_pixels(canonical: Recipe, undisturbed: Artwork) -> None:
    assert np.array_equal(decode_codes(canonical, undisturbed.codes), undisturbed.pixels)
    changed = undisturbed.codes.copy()
    changed[0, 3, 3] ^= 1
    assert not np.array_equal(decode_codes(canonical, changed), undisturbed.pixels)


def test_codes_that_are_no_grid_of_the_recipe_are_refused(canonical: Recipe, undisturbed: Artwork) -> None:
    for codes in (undisturbed.codes[:1], undisturbed.codes[:, :4], undisturbed.codes + 1024, undisturbed.codes - 1024):
        with pytest.raises(ValueError, match="grid"):
            decode_codes(canonical, codes)


@pytest.mark.parametrize("prompt", ["", "  \n", "x" * 1001])
def test_a_prompt_that_cannot_be_used_is_refused(canonical: Recipe, prompt: str) -> None:
    with pytest.raises(RecipeError):
        generate(canonical, prompt, KEY)


def test_fast_works_are_of_the_same_kind(fast: Recipe, undisturbed: Artwork) -> None:
    made = generate(fast, PROMPT, KEY)
    assert made.pixels.shape == undisturbed.pixels.shape
    assert made.pixel_sha256 != undisturbed.pixel_sha256


def test_the_paper_s_scheme_makes_works(shipped: Path) -> None:
    one = Signature(KEY, bytes(32), "0" * 32)
    other = Signature(KEY, bytes(32), "f" * 32)
    recipe = make_recipe(prompt=PROMPT, signature=one, preset=TINY, scheme=Scheme.PAPER, salt=bytes(16))
    made = generate(recipe, PROMPT, recipe.key_of(one))
    assert generate(recipe, PROMPT, recipe.key_of(one)).pixel_sha256 == made.pixel_sha256
    assert generate(recipe, PROMPT, recipe.key_of(other)).pixel_sha256 != made.pixel_sha256


def test_a_work_of_other_weights_is_refused(canonical: Recipe) -> None:
    other = replace(canonical, generator=("small-vqgan", "0" * 64))
    with pytest.raises(WrongModel, match="small-vqgan 000000000000"):
        generate(other, PROMPT, KEY)
    with pytest.raises(WrongModel):
        decode_codes(other, np.zeros((2, 8, 8), np.int64))


def test_weights_that_are_renewed_under_a_process_are_the_ones_it_uses(
    canonical: Recipe, undisturbed: Artwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.write(tmp_path)
    file = tmp_path / "small-vqgan.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "codebook": tensors["codebook"].flip(1).contiguous()}, file)
    sums = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in tmp_path.glob("*.safetensors")
    ]
    (tmp_path / catalogue.SUMS).write_text("".join(sums))
    assert np.array_equal(decode_codes(canonical, undisturbed.codes), undisturbed.pixels)
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    renewed = tiny_recipe(Mode.CANONICAL)
    assert renewed.generator != canonical.generator
    assert not np.array_equal(decode_codes(renewed, undisturbed.codes), undisturbed.pixels)


def test_a_missing_model_is_named_with_its_command(canonical: Recipe, tmp_path: Path) -> None:
    with weights.shipped_from(tmp_path), pytest.raises(ModelMissing, match="small-vqgan"):
        generate(canonical, PROMPT, KEY)
    with weights.shipped_from(tmp_path), pytest.raises(ModelMissing):
        tiny_recipe(Mode.CANONICAL)
