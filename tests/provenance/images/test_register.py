"""Laying over by grey values: found through blur, grain and crops, mirrored too; nothing where there is nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from provenance.images.agreement import agreement, stretch_of
from provenance.images.align import correlation
from provenance.images.edits import apply
from provenance.images.register import register, without_border


def corners_apart(one: np.ndarray, other: np.ndarray, width: int, height: int) -> float:
    """Return the largest distance of the four corners of a query under two maps, pixels."""
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    return float(np.abs(cv2.perspectiveTransform(corners, one) - cv2.perspectiveTransform(corners, other)).max())


@pytest.mark.parametrize("stack", ["dinohash_blur", "dinohash_median"])
def test_a_crop_lies_where_it_was_cut(stack: str) -> None:
    picture = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
    edited = apply(stack, picture, 2)
    left, top = (300 - edited.shape[1]) / 2, (200 - edited.shape[0]) / 2
    cut = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    found = register(edited, picture)
    assert not found[0].mirrored
    assert corners_apart(found[0].homography, cut, edited.shape[1], edited.shape[0]) < 4


def test_a_mirrored_copy_under_grain_and_bars_is_found() -> None:
    picture = cv2.resize(data.chelsea(), (300, 200), interpolation=cv2.INTER_AREA)
    edited = np.pad(apply("thorn_noise0.2", picture[:, ::-1], 1), ((40, 40), (0, 0), (0, 0)))
    mirrored = np.array([[-1.0, 0, 299], [0, 1, -40], [0, 0, 1]])
    found = register(edited, picture)
    assert found[0].mirrored
    assert corners_apart(found[0].homography, mirrored, 300, 280) < 6


def test_copies_agree_under_their_map_and_strangers_under_none() -> None:
    picture, stranger = data.coffee(), data.astronaut()
    edited = apply("thorn_all", picture, 1)
    own = max(
        found.shapes
        for way in register(edited, picture)
        if (found := agreement(edited, picture, way.homography)) is not None
    )
    others = [
        found
        for way in register(edited, stranger)
        if (found := agreement(edited, stranger, way.homography)) is not None and found.stretch < 1.35
    ]
    assert own > 0.7
    assert all(found.shapes < 0.7 for found in others)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3), (200, 200, 3)])
def test_what_is_tiny_or_flat_lies_nowhere(shape: tuple[int, int, int]) -> None:
    assert register(np.full(shape, 90, np.uint8), data.coffee()) == []
    assert register(data.coffee(), np.full(shape, 90, np.uint8)) == []


def test_grain_of_two_pixels_lies_nowhere() -> None:
    assert register(np.random.default_rng(0).integers(0, 256, (2, 2, 3), np.uint8), data.coffee()) == []


def test_plain_lines_are_cut_off_on_each_side() -> None:
    picture = data.coffee()[:200, :300]
    framed = np.pad(picture, ((20, 10), (5, 0), (0, 0)), constant_values=255)
    inner, (left, top) = without_border(framed)
    assert (left, top) == (5, 20)
    assert np.array_equal(inner, picture)
    untouched, offset = without_border(picture)
    assert untouched.shape == picture.shape
    assert offset == (0, 0)


def test_a_plain_picture_keeps_a_fifth_of_each_side() -> None:
    inner, _offset = without_border(np.zeros((100, 50, 3), np.uint8))
    assert min(inner.shape[:2]) >= 10


def test_a_picture_agrees_with_itself_in_everything() -> None:
    found = agreement(data.coffee(), data.coffee(), np.eye(3))
    assert found is not None
    for figure in (found.details, found.shapes, found.light, found.colour, found.block_median, found.area_reference):
        assert figure == pytest.approx(1, abs=1e-6)
    assert found.stretch == pytest.approx(1)
    assert found.query.shape == found.reference.shape


def test_colours_and_structure_are_apart() -> None:
    picture = data.coffee()
    found = agreement(apply("grayscale", picture, 0), picture, np.eye(3))
    assert found is not None
    assert found.details > 0.99
    assert abs(found.colour) < 0.2


def test_pictures_that_do_not_overlap_are_not_compared() -> None:
    aside = np.array([[1.0, 0, 5000], [0, 1, 0], [0, 0, 1]])
    assert agreement(data.coffee(), data.coffee(), aside) is None


def test_correlation_and_stretch() -> None:
    values = np.arange(10)
    assert correlation(values, 3 * values + 2) == pytest.approx(1)
    assert correlation(values, -values) == pytest.approx(-1)
    assert correlation(values, np.ones(10)) == 0
    assert stretch_of(np.diag([2.0, 0.5, 1.0]), 300, 200) == pytest.approx(4)
    assert stretch_of(np.full((3, 3), np.nan), 300, 200) == np.inf
    # A shift changes nothing of how a picture in perspective is drawn.
    slanted = np.array([[1.0, 0, 0], [0, 1, 0], [1e-3, 0, 1]])
    shift = np.array([[1.0, 0, 1000], [0, 1, 0], [0, 0, 1]])
    assert stretch_of(shift @ slanted, 300, 200) == pytest.approx(stretch_of(slanted, 300, 200), rel=0.3)
