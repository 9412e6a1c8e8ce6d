"""Known maps are recovered, strangers are refused, and nothing depends on chance or threads."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, chelsea, coffee, rocket

from provenance.images.align import (
    Alignment,
    Features,
    align,
    align_features,
    common_part,
    difference,
    features,
    render_aligned,
)
from provenance.images.edits import apply

PHOTOS = {"astronaut": astronaut(), "chelsea": chelsea(), "coffee": coffee(), "rocket": rocket()}


@functools.cache
def described(name: str) -> Features:
    return features(PHOTOS[name])


def find(query: np.ndarray, name: str) -> Alignment | None:
    """Align with a photograph that is described only once for all tests."""
    return align_features(features(query), described(name))


def warp(picture: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """The query that `matrix` (reference pixels to query pixels) makes of a reference."""
    return cv2.warpPerspective(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def corner_error(found: Alignment, reference_to_query: np.ndarray, width: int, height: int) -> float:
    """Largest distance of a query corner from where it belongs, as a share of the reference's scale."""
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    truth = cv2.perspectiveTransform(corners[None], np.linalg.inv(reference_to_query))[0]
    return float(np.hypot(*(found.corners - truth).T).max())


def similarity_map(degrees: float, scale: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


@pytest.mark.parametrize(
    ("matrix", "width", "height"),
    [
        (similarity_map(0, 1, 0, 0), 512, 512),
        (similarity_map(0, 1, -150, -100), 300, 350),  # a crop
        (similarity_map(0, 0.5, -0.25, -0.25), 256, 256),
        (similarity_map(0, 1.7, 0, 0), 870, 870),
        (similarity_map(25, 0.9, 160, -60), 512, 480),
        (similarity_map(180, 1, 511, 511), 512, 512),
        (similarity_map(-90, 0.6, 0, 306), 306, 306),
        (np.array([[0.8, 0, 0], [0, 1.25, 0], [0, 0, 1.0]]), 410, 640),  # aspect not kept
        (np.array([[1.0, 0.2, 0], [0.05, 0.9, 10], [0, 0, 1]]), 612, 520),  # sheared
        (np.array([[0.95, 0.08, 5], [0.03, 0.97, 8], [2e-4, 1e-4, 1]]), 512, 512),  # photographed aslant
    ],
    ids=["same", "crop", "half", "larger", "turned", "upside down", "quarter", "squeezed", "sheared", "aslant"],
)
def test_known_maps_are_recovered(matrix, width, height):
    found = find(warp(astronaut(), matrix, width, height), "astronaut")
    assert found is not None
    assert not found.mirrored
    assert corner_error(found, matrix, width, height) < 2.5
    assert found.inlier_ratio > 0.9
    assert found.similarity > 0.95
    assert found.inliers <= found.matches


@pytest.mark.parametrize("name", ["chelsea", "rocket"])
@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_pictures_are_found_with_their_true_map(name, axis):
    reference = PHOTOS[name]
    height, width, _ = reference.shape
    query = features(np.ascontiguousarray(np.flip(reference, axis)))
    found = align_features(query, described(name))
    assert found is not None
    assert found.mirrored
    assert np.linalg.det(found.homography) < 0
    flip = np.diag([1.0, -1, 1]) if axis == 0 else np.diag([-1.0, 1, 1])
    flip[1 - axis, 2] = (height if axis == 0 else width) - 1
    assert corner_error(found, flip, width, height) < 0.5
    assert align_features(query, described(name), try_mirror=False) is None


def test_mirrored_crop_turned_and_shrunk():
    matrix = similarity_map(10, 0.7, 20, -40) @ np.diag([-1.0, 1, 1]) + np.array([[0, 0, 300], [0, 0, 0], [0, 0, 0]])
    found = find(warp(astronaut(), matrix, 320, 300), "astronaut")
    assert found is not None
    assert found.mirrored
    assert corner_error(found, matrix, 320, 300) < 3


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_overlaps_of_a_crop_are_areas(name):
    reference = PHOTOS[name]
    height, width, _ = reference.shape
    crop = features(reference[height // 4 :, width // 3 :])
    found = align_features(crop, described(name))
    assert found is not None
    assert found.overlap_query == pytest.approx(1, abs=0.01)
    assert found.overlap_reference == pytest.approx(0.75 * 2 / 3, abs=0.01)
    back = align_features(described(name), crop)
    assert back is not None
    assert back.overlap_query == pytest.approx(0.75 * 2 / 3, abs=0.01)
    assert back.overlap_reference == pytest.approx(1, abs=0.01)


def test_a_symmetric_object_is_weak_evidence():
    """The mirrored astronaut's round collar lies on the collar where mirroring is not tried."""
    found = align_features(
        features(np.ascontiguousarray(astronaut()[:, ::-1])), described("astronaut"), try_mirror=False
    )
    assert found is None or (found.inlier_ratio < 0.3 and found.inliers < 20 and found.similarity < 0.7)


def test_two_crops_that_share_a_part():
    photo = astronaut()
    found = align(photo[:, :350].copy(), photo[:, 150:].copy())
    assert found is not None
    assert found.overlap_query == pytest.approx(200 / 350, abs=0.01)
    assert found.overlap_reference == pytest.approx(200 / 362, abs=0.01)
    assert found.corners[0] == pytest.approx([-150.5, -0.5], abs=0.5)


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_a_picture_pasted_into_another(name):
    photo = PHOTOS[name]
    small = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    h, w, _ = small.shape
    scene = cv2.resize(PHOTOS["rocket" if name != "rocket" else "coffee"], (3 * w, 2 * h))
    scene[h // 2 : h // 2 + h, w : 2 * w] = small
    found = find(scene, name)
    assert found is not None
    assert found.overlap_query == pytest.approx(1 / 6, abs=0.005)
    assert found.overlap_reference == pytest.approx(1, abs=0.01)
    assert found.similarity > 0.9


@pytest.mark.parametrize(
    "name", ["screenshot", "social", "crop30", "rotate90", "grayscale", "filter_warm", "meme_text", "border"]
)
@pytest.mark.parametrize("photo", ["astronaut", "coffee"])
def test_what_people_do_to_pictures(name, photo):
    found = find(apply(name, PHOTOS[photo], 3), photo)
    assert found is not None
    assert found.inliers > 50
    assert found.similarity > 0.7
    assert not found.mirrored


def test_small_and_large_pictures_meet():
    photo = astronaut()
    thumbnail = cv2.resize(photo, (96, 96), interpolation=cv2.INTER_AREA)
    large = cv2.resize(photo, (1900, 1900), interpolation=cv2.INTER_CUBIC)
    found = align(thumbnail, large)
    assert found is not None
    assert found.corners == pytest.approx(
        np.array([[-0.5, -0.5], [1899.5, -0.5], [1899.5, 1899.5], [-0.5, 1899.5]]), abs=15
    )
    assert found.overlap_reference > 0.98


def test_strangers_are_refused():
    pictures = {name: described(name) for name in PHOTOS}
    rng = np.random.default_rng(0)
    pictures["noise"] = features(rng.integers(0, 256, (200, 250, 3), dtype=np.uint8))
    for seed in range(2):
        pictures[f"scene {seed}"] = features(apply("paste_into", np.full((200, 250, 3), 128, np.uint8), seed))
    for one, a in pictures.items():
        for other, b in pictures.items():
            assert (align_features(a, b) is not None) == (one == other), (one, other)


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (300, 300)])
def test_flat_pictures_are_no_evidence(size):
    flat = np.full((*size, 3), 77, np.uint8)
    assert not features(flat).enough
    assert align(flat, astronaut()) is None
    assert align(astronaut(), flat) is None
    assert align(flat, flat) is None


def test_a_smooth_ramp_is_no_evidence():
    ramp = np.linspace(0, 255, 400).astype(np.uint8)[None, :, None].repeat(300, 0).repeat(3, 2)
    assert align(ramp, ramp) is None or features(ramp).enough


def same(a: Alignment, b: Alignment) -> bool:
    return (
        np.array_equal(a.homography, b.homography)
        and np.array_equal(a.corners, b.corners)
        and (a.mirrored, a.inliers, a.matches, a.overlap_query, a.overlap_reference, a.similarity)
        == (b.mirrored, b.inliers, b.matches, b.overlap_query, b.overlap_reference, b.similarity)
    )


@pytest.mark.parametrize("name", ["screenshot", "flip", "paste_into"])
def test_the_same_result_again_and_with_other_threads(name):
    photo = chelsea()
    query = apply(name, photo, 1)
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 1, 2, 4):
            cv2.setNumThreads(count)
            cv2.setRNGSeed(count)  # the global generator is not used
            results.append(align(query, photo))
    finally:
        cv2.setNumThreads(threads)
    first = results[0]
    assert first is not None
    assert all(other is not None and same(first, other) for other in results[1:])


def test_features_are_reused_and_inputs_left_alone():
    photo, query = coffee(), apply("crop30", coffee(), 1)
    reference = features(photo)
    copies = [array.copy() for array in (reference.grey, reference.points, reference.sizes, reference.descriptors)]
    photo.flags.writeable = query.flags.writeable = False
    direct, first = align(query, photo), align_features(features(query), reference)
    second = align_features(features(query), reference)
    assert direct is not None
    assert first is not None
    assert second is not None
    assert same(direct, first)
    assert same(first, second)
    for now, then in zip(
        (reference.grey, reference.points, reference.sizes, reference.descriptors), copies, strict=True
    ):
        np.testing.assert_array_equal(now, then)


def test_features_have_their_stated_shapes():
    found = described("astronaut")
    count = len(found.points)
    assert 500 < count <= 1000
    assert found.points.shape == (count, 2)
    assert found.sizes.shape == (count,)
    assert found.descriptors.shape == (count, 128)
    assert found.descriptors.dtype == found.grey.dtype == np.uint8
    assert found.grey.shape == (512, 512)
    assert features(cv2.resize(astronaut(), (1600, 800))).grey.shape == (320, 640)
    assert features(cv2.resize(astronaut(), (80, 160))).grey.shape == (320, 160)


def test_render_draws_the_query_over_the_reference():
    photo = coffee()
    query = apply("screenshot", photo, 2)
    found = align(query, photo)
    assert found is not None
    warped, mask = render_aligned(query, photo, found)
    assert warped.shape == photo.shape
    assert mask.shape == photo.shape[:2]
    assert mask.dtype == np.bool_
    assert mask.mean() == pytest.approx(found.overlap_reference, abs=0.01)
    assert np.abs(warped[mask].astype(int) - photo[mask]).mean() < 8


def test_render_masks_what_the_query_does_not_show():
    photo = astronaut()
    query = np.ascontiguousarray(photo[100:400, 200:500][:, ::-1])
    found = align(query, photo)
    assert found is not None
    warped, mask = render_aligned(query, photo, found)
    inside = np.zeros(photo.shape[:2], bool)
    inside[100:400, 200:500] = True
    assert (mask != inside).mean() < 0.005
    assert not warped[:90].any()
    both = mask & inside
    assert np.abs(warped[both].astype(int) - photo[both]).mean() < 3


def test_rendering_a_larger_query_does_not_alias():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    shrink = Alignment(np.diag([0.25, 0.25, 1.0]), False, 9, 9, 1.0, 1.0, 1.0, 1.0, np.zeros((4, 2)))
    warped, mask = render_aligned(stripes, np.zeros((300, 300, 3), np.uint8), shrink)
    assert np.abs(warped[mask].astype(int) - 127).max() <= 2


def test_difference_is_a_heat_map():
    reference = np.full((10, 12, 3), 100, np.uint8)
    warped = reference.copy()
    warped[2:4, 2:4] = 200
    mask = np.ones((10, 12), bool)
    mask[8:] = False
    heat = difference(warped, reference, mask)
    assert (heat.shape, heat.dtype) == ((10, 12, 3), np.uint8)
    same_place, other_place = heat[5, 5].astype(int), heat[2, 2].astype(int)
    assert same_place.max() < 10
    assert other_place.max() > 120
    assert other_place[0] > other_place[2]  # red before blue: RGB, as everywhere here
    assert (heat[8:] == heat[8, 0]).all()
    assert heat[8, 0, 0] == heat[8, 0, 1] == heat[8, 0, 2] >= 160


def test_photometric_agreement_tells_a_negative_and_a_flat_part():
    photo = astronaut()
    found = align(photo, photo)
    assert found is not None
    assert found.similarity == pytest.approx(1)
    dimmed = align((photo // 2 + 30).astype(np.uint8), photo)
    assert dimmed is not None
    assert dimmed.similarity > 0.99
    covered = photo.copy()
    covered[200:450, 40:470] = 30
    partly = align(covered, photo)
    assert partly is not None
    assert 0.1 < partly.similarity < 0.9


def test_the_part_of_a_query_that_shows_the_reference_is_cut_out():
    query = np.arange(200 * 300 * 3, dtype=np.uint32).astype(np.uint8).reshape(200, 300, 3)

    def placed(x, y, scale):
        homography = np.array([[scale, 0, -x * scale], [0, scale, -y * scale], [0, 0, 1]])
        return Alignment(homography, False, 9, 9, 1.0, 1.0, 1.0, 1.0, np.zeros((4, 2)))

    assert np.array_equal(common_part(query, (100, 80), placed(30, 20, 1.0)), query[20:100, 30:130])
    # Drawn at half its size, with a part of it out of the picture.
    assert common_part(query, (100, 80), placed(275, -10, 2.0)).shape == (31, 25, 3)
