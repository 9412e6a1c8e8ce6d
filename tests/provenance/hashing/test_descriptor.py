"""The copy descriptor: unit vectors that are near for copies and parts, and none for what is too simple."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from provenance.hashing.descriptor import COSINE_STEPS, CROPS, DESCRIPTOR, QUERY_VIEWS, WIDTH, distances
from provenance.images.edits import apply
from provenance.matching.policy import DESCRIPTOR_POLICY


def test_vectors_have_unit_length_and_one_picture_one_vector() -> None:
    crops = DESCRIPTOR.describe_crops(data.astronaut())
    assert crops is not None
    assert crops.shape == (len(CROPS), WIDTH)
    assert np.linalg.norm(crops, axis=1) == pytest.approx(1, abs=1e-5)
    query = DESCRIPTOR.describe_query(data.astronaut())
    assert query is not None
    assert query.shape == (len(QUERY_VIEWS), WIDTH)
    # What has no border is described whole and without it alike.
    assert query[:3] == pytest.approx(crops[[0, 1, 0]], abs=1e-4)


@pytest.mark.parametrize("edit", ["screenshot", "crop30", "flip", "grayscale", "meme_text", "border"])
def test_edited_copies_are_candidates_and_nearer_than_strangers(edit: str) -> None:
    stored = DESCRIPTOR.describe_crops(data.astronaut())
    stranger = DESCRIPTOR.describe_crops(data.coffee())
    query = DESCRIPTOR.describe_query(apply(edit, data.astronaut(), 1))
    assert stored is not None
    assert stranger is not None
    assert query is not None
    assert distances(query, stored).min() <= DESCRIPTOR_POLICY.candidate_radius
    assert distances(query, stored).min() < distances(query, stranger).min()


def test_bars_and_grain_do_not_hide_a_picture() -> None:
    picture = cv2.resize(data.coffee(), (224, 224), interpolation=cv2.INTER_AREA)
    stored = DESCRIPTOR.describe_crops(picture)
    query = DESCRIPTOR.describe_query(apply("thorn_all", picture, 3))
    assert stored is not None
    assert query is not None
    whole, _middle, inner, smoothed = distances(query, stored).min(1)
    assert smoothed < inner < whole


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 400, 3)])
def test_a_flat_picture_is_not_described(shape: tuple[int, ...]) -> None:
    flat = np.full(shape, 90, np.uint8)
    assert DESCRIPTOR.describe_crops(flat) is None
    assert DESCRIPTOR.describe_query(flat) is None


def test_distances_go_from_none_to_opposite() -> None:
    one = np.eye(2, WIDTH, dtype=np.float32)
    assert distances(one, -one).tolist() == [[COSINE_STEPS, 1000], [1000, COSINE_STEPS]]
    assert distances(one, one).diagonal().tolist() == [0, 0]
