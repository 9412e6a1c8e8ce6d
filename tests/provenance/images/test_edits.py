"""Presets do what they say, the same for the same seed, and stay as they are (tests/vectors/edits.json)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import PCG64, Generator
from skimage.data import chelsea

from provenance.images import edit_steps, edits
from provenance.images.edits import PRESETS, apply
from provenance.images.quality import psnr, ssim
from tests.provenance.images.files import gradient

VECTORS = Path(__file__).parents[2] / "vectors" / "edits.json"
GROUPS = {
    "DINOHASH_STACKS": 4, "THORN": 12, "STABLE_SIGNATURE": 18, "DEEPHASH": 15, "GENWM": 4, "DETECTOR": 1, "SITE": 11,
}  # fmt: skip
SITE = (
    "screenshot", "social", "crop10", "crop30", "rotate90", "flip", "grayscale", "filter_warm", "meme_text",
    "border", "paste_into",
)  # fmt: skip


def textured(height: int, width: int) -> np.ndarray:
    """A synthetic picture with smooth parts and edges."""
    return edit_steps.scenery(height, width, Generator(PCG64(42)))


def summary(pixels: np.ndarray) -> list[int]:
    """Mean colour of 4 x 4 cells, rounded: fine enough to tell a changed preset, coarse enough for any machine."""
    return np.rint(cv2.resize(pixels, (4, 4), interpolation=cv2.INTER_AREA)).astype(int).ravel().tolist()


def test_groups_hold_every_preset():
    names = [name for group in GROUPS for name in getattr(edits, group)]
    assert sorted(names) == sorted(PRESETS)
    assert {group: len(getattr(edits, group)) for group in GROUPS} == GROUPS
    assert edits.SITE == SITE
    for name, edit in PRESETS.items():
        assert edit.name == name
        assert edit.text
        assert edit.source


@pytest.mark.parametrize("name", PRESETS)
def test_same_seed_same_pixels_and_the_input_is_left_alone(name):
    pixels = textured(120, 160)
    before = pixels.copy()
    pixels.flags.writeable = False
    first, again = apply(name, pixels, 3), apply(name, pixels, 3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(pixels, before)
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    first[0, 0, 0] = 1  # a picture of its own, free to change
    assert first.shape != pixels.shape or not np.array_equal(first, pixels)


def vector(name: str, seed: int) -> dict[str, object]:
    edited = apply(name, textured(120, 160), seed)
    return {"seed": seed, "shape": list(edited.shape), "cells": summary(edited)}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_frozen(name):
    frozen = json.loads(VECTORS.read_text())[name]
    now = vector(name, frozen["seed"])
    assert now["shape"] == frozen["shape"]
    assert np.abs(np.array(now["cells"]) - frozen["cells"]).max() <= 2


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_and_thin_pictures(name, size):
    edited = apply(name, gradient(20, 20)[:1, :1].repeat(size[0], 0).repeat(size[1], 1), 0)
    assert edited.size > 0


def test_global_generators_are_not_touched():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    for name in PRESETS:
        apply(name, textured(40, 40), 5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("name", ["crop10", "screenshot", "paste_into", "meme_text", "dinohash_blur", "detector"])
def test_other_seeds_give_other_pictures(name):
    pixels = textured(120, 160)
    one, two = apply(name, pixels, 1), apply(name, pixels, 2)
    assert one.shape != two.shape or not np.array_equal(one, two)


def test_wrong_names_and_pixels_are_refused():
    with pytest.raises(KeyError):
        apply("sepia", gradient(), 0)
    for wrong in (gradient()[:, :, 0], gradient() / 255, gradient()[:0], np.dstack([gradient()] * 2)):
        with pytest.raises(ValueError, match="uint8"):
            apply("flip", wrong, 0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dinohash_blur", (180, 270)),
        ("thorn_resize0.5", (150, 225)),
        ("thorn_pad0.2", (420, 450)),
        ("thorn_crop0.05", (270, 405)),
        ("thorn_rotate4", (300, 450)),
        ("stable_signature_crop_0.5", (212, 318)),
        ("stable_signature_crop_0.1", (95, 142)),
        ("stable_signature_rotate_90", (300, 450)),
        ("stable_signature_resize_0.1", (95, 142)),
        ("deephash_crop_80", (300, 450)),
        ("detector", (200, 200)),
        ("crop10", (270, 405)),
        ("crop30", (210, 315)),
        ("rotate90", (450, 300)),
        ("border", (336, 504)),
        ("paste_into", (300, 450)),
        ("social", (300, 450)),
    ],
)
def test_sizes(name, shape):
    assert apply(name, textured(300, 450), 1).shape == (*shape, 3)


def test_social_shrinks_large_pictures():
    assert apply("social", textured(1000, 2160), 1).shape == (500, 1080, 3)


def test_exact_edits():
    pixels = textured(60, 80)
    np.testing.assert_array_equal(apply("flip", pixels, 0), pixels[:, ::-1])
    np.testing.assert_array_equal(apply("rotate90", pixels, 0), np.rot90(pixels, -1))
    cropped = apply("crop10", pixels, 7)
    places = [(y, x) for y in range(7) for x in range(9) if np.array_equal(pixels[y : y + 54, x : x + 72], cropped)]
    assert len(places) == 1
    grey = apply("grayscale", pixels, 0)
    assert (grey == grey[:, :, :1]).all()
    np.testing.assert_array_equal(apply("border", pixels, 0)[4:-4, 5:-5], pixels)
    padded = apply("thorn_pad0.2", pixels, 0)
    np.testing.assert_array_equal(padded[12:-12], pixels)
    assert not padded[:12].any()
    assert not padded[-12:].any()


def test_tones():
    pixels = textured(60, 80)
    np.testing.assert_array_equal(apply("thorn_gamma2", pixels, 0), np.rint(pixels.astype(float) ** 2 / 255))
    vignette = apply("thorn_vignette", pixels, 0)
    assert (vignette[29:31, 39:41] >= pixels[29:31, 39:41] - 1.0).all()
    # At the corner both factors are exp(-1/2), a little less than a pixel inside.
    assert vignette[0, 0] == pytest.approx(pixels[0, 0] * np.exp(-1), abs=3)
    bright = apply("stable_signature_brightness_2", pixels, 0)
    np.testing.assert_array_equal(bright, np.minimum(pixels.astype(int) * 2, 255))
    warm = apply("filter_warm", np.full((8, 8, 3), 128, np.uint8), 0)
    assert warm[0, 0].tolist() == [141, 131, 105]


def test_noise_has_its_strength_and_is_the_same_in_all_channels():
    grey = np.full((300, 300, 3), 128, np.uint8)
    noisy = apply("deephash_noise_10", grey, 0).astype(float)
    assert noisy.std() == pytest.approx(10, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    assert (noisy == noisy[:, :, :1]).all()


def test_thorns_jpeg_is_hard_and_stable_signatures_is_mild():
    photo = chelsea()
    assert (
        psnr(photo, apply("thorn_jpeg95", photo, 0))
        < 28
        < 33
        < psnr(photo, apply("stable_signature_jpeg_80", photo, 0))
    )


def test_dinohash_stack_erases_and_writes():
    grey = np.full((300, 400, 3), 40, np.uint8)
    stack = apply("dinohash_median", grey, 0)
    side = round(0.2 * 180)
    assert side * side * 0.9 <= (stack == 128).all(axis=2).sum() <= side * side
    assert (stack == 255).all(axis=2).sum() > 20
    photo = chelsea()
    factors = [apply("dinohash_brightness", photo, seed).mean() for seed in range(8)]
    assert np.ptp(factors) > 10


def test_erased_square_stays_inside():
    for seed in range(20):
        erased = edit_steps.erase(np.zeros((50, 90, 3), np.uint8), Generator(PCG64(seed)), share=0.2)
        assert (erased == 128).sum() == 10 * 10 * 3


def test_draws_cover_their_ranges():
    ramp = np.arange(200, dtype=np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    widths = [edit_steps.crop_random(ramp, Generator(PCG64(s)), low=0.625, high=1.0).shape[1] for s in range(60)]
    assert min(widths) >= 125
    assert max(widths) <= 200
    assert np.ptp(widths) > 60
    flipped = [edit_steps.flip(ramp, Generator(PCG64(s)), probability=0.5)[0, 0, 0] > 0 for s in range(60)]
    assert 15 < sum(flipped) < 45


def test_rotation_turns_counterclockwise():
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[50, 90:] = 255  # a hand at three o'clock
    turned = apply("deephash_rotate_+15", pixels, 0)
    rows, columns = np.nonzero(turned[:, :, 0] > 100)
    assert rows.mean() == pytest.approx(50 - 45 * np.sin(np.radians(15)), abs=1)
    assert columns.mean() == pytest.approx(50 + 45 * np.cos(np.radians(15)), abs=1)


def test_screenshot_keeps_the_picture_between_bars():
    photo = chelsea()
    shot = apply("screenshot", photo, 4)
    height, width, _ = shot.shape
    scale = width / photo.shape[1]
    assert 0.5 <= scale <= 0.9
    inner = round(photo.shape[0] * scale)
    assert height == inner + max(1, round(inner * 0.03)) + max(1, round(inner * 0.02))
    top = round(inner * 0.03)
    expected = cv2.resize(photo, (width, inner), interpolation=cv2.INTER_AREA)
    assert ssim(shot[top : top + inner], expected) > 0.85


def test_meme_text_lies_at_top_and_bottom():
    change = np.abs(apply("meme_text", np.full((300, 400, 3), 90, np.uint8), 1).astype(int) - 90).max(axis=(1, 2))
    assert change[:60].max() > 100
    assert change[-60:].max() > 100
    assert change[80:220].max() < 20


def test_pasted_picture_is_a_part_of_the_scene():
    photo = chelsea()
    changed = np.abs(apply("paste_into", photo, 2).astype(int) - photo).mean(axis=2)
    assert (changed > 20).mean() > 0.4


if __name__ == "__main__":  # adds new presets to the vectors; frozen ones stay
    vectors = {name: vector(name, 11) for name in PRESETS} | json.loads(VECTORS.read_text())
    lines = (f"  {json.dumps(n)}: {json.dumps(v, separators=(',', ':'))}" for n, v in vectors.items())
    VECTORS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
