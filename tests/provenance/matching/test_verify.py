"""Pairs: copies verified, strangers rejected, plain pictures undecidable."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from provenance.images.align import features
from provenance.images.edits import SITE, apply
from provenance.matching.verify import (
    VERSION,
    PairKind,
    false_verification_rate,
    verify_features,
    verify_pair,
)


@pytest.mark.parametrize("preset", SITE)
def test_edited_copies_are_verified(preset: str) -> None:
    picture = data.coffee()
    found = verify_pair(apply(preset, picture, 1), picture)
    assert found.kind == PairKind.VERIFIED, found.reasons
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


def test_the_same_features_give_the_same_verdict() -> None:
    query, reference = features(apply("screenshot", data.coffee(), 2)), features(data.coffee())
    once, twice = verify_features(query, reference), verify_features(query, reference)
    assert once.kind == twice.kind
    assert once.reasons == twice.reasons


def test_the_chance_of_being_wrong_is_stated_with_its_bound() -> None:
    measured, bound = false_verification_rate()
    assert 0 < measured < bound < 1e-3
