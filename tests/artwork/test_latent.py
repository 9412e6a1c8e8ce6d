"""From the keys to numbers: bound to every input, evenly spread, and the very generators that are named."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import stats

from provenance.artwork.latent import Draws, first_codes, prompt_bytes, run_key

RUN = bytes(range(32))
RECIPE = "ab" * 32
GRID = {"books": 2, "codes": 1024, "height": 8, "width": 8}
_MASK = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 (Salmon et al. 2011, section 3.3), written from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        one, two = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [two >> 64 ^ c[1] ^ k[0], two & _MASK, one >> 64 ^ c[3] ^ k[1], one & _MASK]
        k = [k[0] + 0x9E3779B97F4A7C15 & _MASK, k[1] + 0xBB67AE8584CAA73B & _MASK]
    return c


def test_philox_is_that_of_its_authors() -> None:
    """The first of their known answers, counter and key zero."""
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox([0] * 4, [0] * 2) == known


# Their keys have the highest bit of both words, of neither, of the first alone and of the second alone.
@pytest.mark.parametrize("purpose", ["turn", "colour", "crops", "places"])
def test_draws_are_philox_under_a_key_for_each_purpose(purpose: str) -> None:
    digest = hashlib.blake2s(purpose.encode(), key=RUN, digest_size=16, person=b"prov-rng").digest()
    key = [int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")]
    expected = [word for block in (1, 2, 3) for word in philox([block, 7, 0, 0], key)]
    assert Draws(RUN, purpose, 7).words(11).tolist() == expected[:11]


def test_prompts_that_look_the_same_are_the_same() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert prompt_bytes(composed) == prompt_bytes(decomposed) == prompt_bytes(f" \n{composed}\t")
    assert run_key(key=RUN, prompt=composed, recipe_digest=RECIPE) == run_key(
        key=RUN, prompt=f"{decomposed} ", recipe_digest=RECIPE
    )


def test_a_run_is_bound_to_key_prompt_and_recipe() -> None:
    keys = [
        run_key(key=key, prompt=prompt, recipe_digest=recipe)
        for key in (RUN, bytes(32), b"\x01" + RUN[1:])
        for prompt in ("a lake", "a Lake", "a  lake", "a lak")
        for recipe in (RECIPE, "ab" * 31 + "ac")
    ]
    assert len(set(keys)) == len(keys) == 24
    assert {len(key) for key in keys} == {32}


def test_words_do_not_run_into_the_recipe() -> None:
    """The prompt goes in with its length: shifting bytes between the two parts gives another run."""
    one = run_key(key=RUN, prompt="a lakeabc", recipe_digest="64" * 32)
    other = run_key(key=RUN, prompt="a lake", recipe_digest=b"abc".hex() + "64" * 29)
    assert one != other


@pytest.mark.parametrize("codes", [2, 256, 1024, 16384, 65536])
def test_codes_are_evenly_spread(codes: int) -> None:
    runs = [bytes([number]) * 32 for number in range(40)]
    drawn = np.stack([first_codes(run, books=2, codes=codes, height=24, width=24) for run in runs])
    assert drawn.shape == (40, 2, 24, 24)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < codes
    for book in range(2):
        counted = np.bincount(drawn[:, book].ravel() * 64 // max(codes, 64), minlength=min(codes, 64))
        assert stats.chisquare(counted).pvalue > 0.001
        lowest = np.bincount(drawn[:, book].ravel() % min(codes, 64), minlength=min(codes, 64))
        assert stats.chisquare(lowest).pvalue > 0.001


def test_one_bit_of_the_run_changes_nearly_every_code() -> None:
    base = first_codes(RUN, **GRID)
    for bit in (0, 100, 255):
        other = bytearray(RUN)
        other[bit // 8] ^= 1 << bit % 8
        assert (first_codes(bytes(other), **GRID) == base).mean() < 0.03


def test_the_two_books_are_drawn_apart() -> None:
    codes = first_codes(RUN, **GRID)
    assert (codes[0] == codes[1]).mean() < 0.05


@pytest.mark.parametrize("codes", [0, 1, 3, 1000, 131072])
def test_a_size_that_no_mask_fits_is_refused(codes: int) -> None:
    with pytest.raises(ValueError, match="mask"):
        first_codes(RUN, books=1, codes=codes, height=2, width=2)


def test_purposes_iterations_and_runs_do_not_share_numbers() -> None:
    drawn = [
        Draws(run, purpose, iteration).words(64)
        for run in (RUN, bytes(32))
        for purpose in ("noise", "noise-strength", "crops", "turn")
        for iteration in (0, 1, 2, 1000)
    ]
    assert len(np.unique(np.concatenate(drawn))) == 64 * len(drawn)


def test_draws_of_one_purpose_go_on_where_they_were() -> None:
    whole, parts = Draws(RUN, "noise", 3), Draws(RUN, "noise", 3)
    assert whole.words(12).tolist() == [*parts.words(4).tolist(), *parts.words(8).tolist()]


def test_uniform_numbers_are_uniform() -> None:
    numbers = Draws(RUN, "crops", 0).uniform(20_000)
    assert numbers.dtype == np.float64
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 0.001
    # 53 bits: the whole mantissa.
    assert (numbers * 2.0**53 % 2).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 40_000])
def test_normal_numbers_are_a_centred_binomial(count: int) -> None:
    numbers = Draws(RUN, "noise", 5).normal(count)
    assert numbers.shape == (count,)
    assert numbers.dtype == np.float32
    assert np.array_equal(numbers * 2, np.rint(numbers * 2))
    words = Draws(RUN, "noise", 5).words(-(-count // 4)).tolist()
    bits = [(word >> 16 * part & 0xFFFF).bit_count() for word in words for part in range(4)]
    assert numbers.tolist() == [(found - 8) / 2 for found in bits[:count]]


def test_normal_numbers_have_mean_0_and_deviation_1() -> None:
    numbers = Draws(RUN, "noise", 5).normal(100_000).astype(np.float64)
    assert numbers.mean() == pytest.approx(0, abs=0.01)
    assert numbers.std() == pytest.approx(1, abs=0.01)
    counted = np.bincount((numbers * 2 + 8).astype(int), minlength=17)[2:15]
    expected = stats.binom.pmf(np.arange(2, 15), 16, 0.5)
    assert stats.chisquare(counted, expected / expected.sum() * counted.sum()).pvalue > 0.001
