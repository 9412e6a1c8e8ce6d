"""Pairs: copies verified, strangers rejected, plain pictures undecidable."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from provenance.images.edits import DINOHASH_STACKS, SITE, apply
from provenance.matching.verify import (
    FIGURES,
    VERSION,
    PairKind,
    described,
    figures_of,
    overlays,
    pair_model,
    verify_described,
    verify_pair,
)
from provenance.training.frames import in_one_frame


@pytest.mark.parametrize("preset", [*SITE, *DINOHASH_STACKS, "thorn_noise0.2", "thorn_jpeg95"])
def test_edited_copies_are_verified(preset: str) -> None:
    picture = data.coffee()
    found = verify_pair(apply(preset, picture, 1), picture)
    assert found.kind == PairKind.VERIFIED, (found.probability, found.reasons)
    assert found.probability >= found.thresholds.verified
    assert found.version == VERSION


def test_a_mirrored_copy_says_so() -> None:
    picture = data.chelsea()
    found = verify_pair(np.ascontiguousarray(picture[:, ::-1]), picture)
    assert found.kind == PairKind.VERIFIED
    assert found.alignment is not None
    assert found.alignment.mirrored


@pytest.mark.parametrize("stranger", [data.coffee, data.chelsea, data.rocket])
def test_strangers_are_rejected(stranger: object) -> None:
    found = verify_pair(data.astronaut(), stranger())  # type: ignore[operator]
    assert found.kind == PairKind.REJECTED


@pytest.mark.parametrize("seed", range(6))
def test_two_pictures_in_one_frame_are_no_copies(seed: int) -> None:
    one, other = in_one_frame([data.astronaut(), data.coffee()], data.chelsea(), seed)
    assert verify_pair(one, other).kind != PairKind.VERIFIED


def test_a_picture_in_a_frame_is_found_in_it() -> None:
    one, _other = in_one_frame([data.astronaut(), data.coffee()], data.chelsea(), 0)
    assert verify_pair(one, data.astronaut()).kind == PairKind.VERIFIED


def test_a_small_common_part_is_a_match_with_its_overlap() -> None:
    picture = data.astronaut()
    canvas = cv2.resize(data.coffee(), (1200, 900))
    canvas[100:400, 200:500] = cv2.resize(picture, (300, 300), interpolation=cv2.INTER_AREA)
    found = verify_pair(np.ascontiguousarray(canvas), picture)
    assert found.kind == PairKind.VERIFIED
    assert found.alignment is not None
    assert found.alignment.overlap_query == pytest.approx(300 * 300 / (1200 * 900), rel=0.1)
    assert found.alignment.overlap_reference == pytest.approx(1, abs=0.05)


def test_a_plain_picture_is_undecidable_and_says_which() -> None:
    plain = np.full((300, 300, 3), 200, np.uint8)
    found = verify_pair(plain, data.coffee())
    assert found.kind == PairKind.UNDECIDABLE
    assert "asked about" in found.reasons[0]
    assert "registered" in verify_pair(data.coffee(), plain).reasons[0]


def test_the_same_pair_has_the_same_verdict() -> None:
    query, reference = described(apply("screenshot", data.coffee(), 2)), described(data.coffee())
    once, twice = verify_described(query, reference), verify_described(query, reference)
    assert (once.kind, once.probability, once.reasons) == (twice.kind, twice.probability, twice.reasons)


def test_what_key_points_do_not_find_grey_values_do() -> None:
    small = cv2.resize(data.coffee(), (224, 149), interpolation=cv2.INTER_AREA)
    found = verify_pair(apply("thorn_all", small, 4), small)
    assert found.kind == PairKind.VERIFIED
    assert found.alignment is not None
    assert found.alignment.inliers == 0
    assert "grey values do" in found.reasons[0]


def test_a_better_agreement_is_more_probable() -> None:
    """No figure that speaks for a copy may count against one."""
    model = pair_model()
    copy = verify_pair(apply("crop30", data.coffee(), 1), data.coffee())
    assert copy.overlay is not None
    figures = figures_of(copy.overlay)
    assert figures.shape == (len(FIGURES),)
    for row, name in enumerate(FIGURES):
        worse = figures.copy()
        worse[row] -= -0.3 if name == "stretch" else 0.3
        assert model.probability(worse) <= model.probability(figures)
    assert np.count_nonzero(model.weights) > 6


def test_strangers_lie_nowhere_or_improbably() -> None:
    model = pair_model()
    ways = overlays(described(data.astronaut()), described(data.coffee()))
    assert all(model.probability(figures_of(way)) < model.thresholds.partial for way in ways)


def test_the_chance_of_being_wrong_is_stated_with_its_bound() -> None:
    model = pair_model()
    measured, bound = model.false_verification_rate()
    assert 0 <= measured < bound < 1e-2
    assert model.hard_pairs > 400
    assert 0.9 < model.genuine_verified / model.genuine_pairs <= 1


def disc(radius: int, colour: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((360, 480, 3), 255, np.uint8)
    return cv2.circle(picture, (240 - radius // 4, 180), radius, colour, -1, cv2.LINE_AA)


def test_plain_pictures_of_one_shape_are_undecidable() -> None:
    found = verify_pair(disc(80, (200, 0, 0)), disc(120, (180, 20, 10)))
    assert found.kind == PairKind.UNDECIDABLE


def test_without_key_points_colours_must_agree_too() -> None:
    model = pair_model()
    figures = np.array([0.0, 1, 1, 1, 0.9, 1, 1, 4, 1, 0, 0.95])
    assert model.kind(figures) == PairKind.VERIFIED
    figures[FIGURES.index("colour")] = 0.1
    assert model.kind(figures) != PairKind.VERIFIED


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (2, 2), (640, 3)])
def test_noise_of_any_shape_is_no_copy(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    for pair in ((noise, data.coffee()), (data.coffee(), noise)):
        assert verify_pair(*pair).kind in (PairKind.UNDECIDABLE, PairKind.REJECTED)
