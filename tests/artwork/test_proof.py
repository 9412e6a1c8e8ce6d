"""Proving a work: identical or not, and how far off."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from provenance.artwork.generator import Artwork, generate
from provenance.artwork.proof import Likeness, Proof, ProofVerdict, judge, likeness, prove, redecodes
from provenance.artwork.recipe import Fit, Mode, Recipe
from provenance.artwork.signature import Signature
from provenance.images.quality import psnr, ssim
from tests.artwork.conftest import KEY, PROMPT, SIGNATURE


@pytest.fixture(scope="module")
def made(canonical: Recipe) -> Artwork:
    return generate(canonical, PROMPT, KEY)


def proof_of(recipe: Recipe, work: Artwork, prompt: str = PROMPT, key: Signature = SIGNATURE, **changes: Any) -> Proof:
    registered = {"pixels": work.pixels, "codes": work.codes, "latent_sha256": work.latent_sha256, **changes}
    return prove(recipe, prompt, key, **registered)


def test_the_right_secrets_prove_it(canonical: Recipe, made: Artwork) -> None:
    proof = proof_of(canonical, made)
    assert proof.verdict is ProofVerdict.IDENTICAL
    assert proof.fit == Fit(prompt=True, key=True, file=True)
    assert proof.redecoded
    assert proof.codes_equal
    assert proof.latent_equal
    assert proof.likeness == Likeness(psnr_db=None, ssim=1.0, equal_share=1.0)


@pytest.mark.parametrize(
    ("prompt", "key", "fit"),
    [
        (PROMPT + "!", SIGNATURE, Fit(prompt=False, key=True, file=True)),
        (PROMPT, Signature(bytes(32), None), Fit(prompt=True, key=False, file=False)),
        ("another", Signature(bytes(32), None), Fit(prompt=False, key=False, file=False)),
    ],
)
def test_wrong_secrets_show_how_far_off_they_are(
    canonical: Recipe, made: Artwork, prompt: str, key: Signature, fit: Fit
) -> None:
    proof = proof_of(canonical, made, prompt, key)
    assert proof.verdict is ProofVerdict.DIFFERENT
    assert proof.fit == fit
    assert proof.redecoded, "the registered work is sound all the same"
    assert not proof.codes_equal
    assert not proof.latent_equal
    assert proof.likeness.psnr_db == psnr(proof.artwork.pixels, made.pixels)
    assert proof.likeness.ssim == ssim(proof.artwork.pixels, made.pixels)
    assert proof.likeness.equal_share < 0.05


def test_one_altered_sample_of_the_registered_picture_is_not_identical(canonical: Recipe, made: Artwork) -> None:
    altered = made.pixels.copy()
    altered[5, 6, 1] ^= 1
    proof = proof_of(canonical, made, pixels=altered)
    assert proof.verdict is ProofVerdict.NEAR
    assert not proof.redecoded
    assert proof.codes_equal
    assert proof.latent_equal
    assert proof.likeness.psnr_db is not None
    assert proof.likeness.psnr_db > 60
    assert proof.likeness.equal_share == 1 - 1 / made.pixels[..., 0].size


def test_level_one_needs_no_secret(canonical: Recipe, made: Artwork) -> None:
    assert redecodes(canonical, made.codes, made.pixels)
    assert not redecodes(canonical, made.codes, made.pixels ^ 1)


def test_a_fast_draft_is_never_identical(fast: Recipe) -> None:
    draft = generate(fast, PROMPT, KEY)
    proof = proof_of(fast, draft)
    assert proof.likeness.psnr_db is None, "one machine, one setting"
    assert proof.verdict is ProofVerdict.NEAR


@pytest.mark.parametrize(
    ("mode", "psnr_db", "similarity", "verdict"),
    [
        (Mode.CANONICAL, None, 1.0, ProofVerdict.IDENTICAL),
        (Mode.FAST, None, 1.0, ProofVerdict.NEAR),
        (Mode.CANONICAL, 99.0, 1.0, ProofVerdict.NEAR),
        (Mode.FAST, 30.0, 0.9, ProofVerdict.NEAR),
        (Mode.FAST, 29.9, 0.99, ProofVerdict.DIFFERENT),
        (Mode.FAST, 40.0, 0.89, ProofVerdict.DIFFERENT),
    ],
)
def test_classes(mode: Mode, psnr_db: float | None, similarity: float, verdict: ProofVerdict) -> None:
    assert judge(mode, Likeness(psnr_db=psnr_db, ssim=similarity, equal_share=0.5)) is verdict


def test_likeness_of_pictures_of_two_sizes_is_refused(made: Artwork) -> None:
    with pytest.raises(ValueError, match="shape"):
        likeness(made.pixels, np.zeros((32, 32, 3), np.uint8))


def test_a_proof_keeps_no_secret(canonical: Recipe, made: Artwork) -> None:
    said = repr(dataclasses.replace(proof_of(canonical, made), artwork=made))
    assert PROMPT not in said
    assert KEY.hex() not in said
