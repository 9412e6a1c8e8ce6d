"""Proof of ownership: make the work again from the two secrets and compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from provenance.artwork.generator import RGB, Artwork, Iteration, decode_codes, generate
from provenance.artwork.recipe import Fit, Mode, Recipe
from provenance.artwork.signature import Signature
from provenance.images.quality import is_identical, psnr, ssim

# Nearness of a fast draft made again on another machine; measured in benchmarks/artwork.py against other keys.
NEAR_PSNR_DB, NEAR_SSIM = 30.0, 0.9


class ProofVerdict(StrEnum):
    """What the second making shows.

    Only canonical works can be identical. A fast draft that comes out the same, or nearly, is near: its arithmetic
    promises nothing.
    """

    IDENTICAL = "identical"
    NEAR = "near"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures of one size are.

    Attributes:
        psnr_db: None where they are identical.
        ssim: -1 to 1.
        equal_share: pixels equal in all channels, 0 to 1.
    """

    psnr_db: float | None
    ssim: float
    equal_share: float


@dataclass(frozen=True)
class Proof:
    """The outcome.

    Attributes:
        fit: which secrets open the recipe's commitments.
        redecoded: whether the registered codes still decode to the registered pixels (seconds, needs no secret).
        codes_equal, latent_equal: whether the second making came to the same codes and the same latent.
        artwork: the second making.
    """

    verdict: ProofVerdict
    fit: Fit
    redecoded: bool
    codes_equal: bool
    latent_equal: bool
    likeness: Likeness
    artwork: Artwork


def redecodes(recipe: Recipe, codes: npt.NDArray[np.int64], pixels: RGB) -> bool:
    """Level one: say whether the registered codes decode to the registered pixels. Raises as :func:`decode_codes`."""
    return is_identical(decode_codes(recipe, codes), pixels)


def likeness(one: RGB, other: RGB) -> Likeness:
    """Compare two pictures, uint8 RGB ``[H, W, 3]`` of one shape.

    Raises:
        ValueError: the shapes differ.
    """
    ratio = psnr(one, other)
    return Likeness(
        psnr_db=None if ratio == float("inf") else ratio,
        ssim=ssim(one, other),
        equal_share=float((one == other).all(2).mean()),
    )


def prove(
    recipe: Recipe,
    prompt: str,
    signature: Signature,
    *,
    pixels: RGB,
    codes: npt.NDArray[np.int64],
    latent_sha256: str,
    on_iteration: Callable[[Iteration], None] | None = None,
    checkpoint: bytes | None = None,
) -> Proof:
    """Level two: make the work again from the secrets, whether or not they fit, and compare with what is registered.

    Args:
        pixels, codes, latent_sha256: the registered work.

    Raises:
        As :func:`provenance.artwork.generator.generate` and :func:`decode_codes`.
    """
    redecoded = redecodes(recipe, codes, pixels)
    made = generate(recipe, prompt, recipe.key_of(signature), on_iteration=on_iteration, checkpoint=checkpoint)
    alike = likeness(made.pixels, pixels)
    return Proof(
        verdict=judge(recipe.mode, alike),
        fit=recipe.fits(prompt, signature),
        redecoded=redecoded,
        codes_equal=bool(np.array_equal(made.codes, codes)),
        latent_equal=made.latent_sha256 == latent_sha256,
        likeness=alike,
        artwork=made,
    )


def judge(mode: Mode, alike: Likeness) -> ProofVerdict:
    """Return the class of a second making."""
    if alike.psnr_db is None and mode is Mode.CANONICAL:
        return ProofVerdict.IDENTICAL
    if alike.psnr_db is None or (alike.psnr_db >= NEAR_PSNR_DB and alike.ssim >= NEAR_SSIM):
        return ProofVerdict.NEAR
    return ProofVerdict.DIFFERENT
