"""Measures against values worked out by hand, and the two published artefacts explained."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from provenance.images.quality import histograms, is_identical, legacy_psnr_uint8, mse, psnr, ssim


def noise(seed: int, shape: tuple[int, ...] = (200, 200, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_identity_is_a_flag_of_its_own():
    a = noise(1)
    assert is_identical(a, a.copy())
    assert mse(a, a) == 0
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == 1
    b = a.copy()
    b[0, 0, 0] ^= 1
    assert not is_identical(a, b)
    assert math.isfinite(psnr(a, b))


def test_other_shapes_and_types_are_not_identical():
    a = noise(1)
    assert not is_identical(a, a[:-1])
    assert not is_identical(a, a.astype(np.int64))


def test_mse_does_not_wrap():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert mse(black, white) == mse(white, black) == 255**2
    assert psnr(black, white) == 0


def test_psnr_of_one_level():
    a = np.full((8, 8), 100, np.uint8)
    assert psnr(a, a + np.uint8(1)) == pytest.approx(20 * math.log10(255))


def test_psnr_of_unrelated_noise_is_what_the_variance_says():
    # Two uniform variables differ by 2 * (256^2 - 1) / 12 on average.
    assert psnr(noise(1), noise(2)) == pytest.approx(10 * math.log10(255**2 / (2 * 65535 / 12)), abs=0.05)


def test_legacy_psnr_gives_the_published_artefacts():
    squares = np.arange(256, dtype=np.uint64) ** 2 % 256
    floor = 10 * math.log10(255**2 / squares.mean())
    assert floor == pytest.approx(27.90, abs=0.01)
    assert legacy_psnr_uint8(noise(1), noise(2)) == pytest.approx(floor, abs=0.05)
    photos = astronaut()[:400], coffee()[:, :512]
    assert legacy_psnr_uint8(*photos) == pytest.approx(27.9, abs=0.5)
    assert psnr(*photos) < 12
    assert legacy_psnr_uint8(noise(1), noise(1)) == 100


def test_ssim_follows_its_formula_on_flat_pictures():
    # Without variance only the luminance term is left: (2ab + C1) / (a^2 + b^2 + C1).
    a, b, c1 = 100.0, 150.0, (0.01 * 255) ** 2
    flat = [np.full((32, 32, 3), level, np.uint8) for level in (100, 150)]
    assert ssim(*flat) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-6)


def test_ssim_orders_pictures_as_people_do():
    photo = coffee()
    grain = np.clip(photo + np.random.default_rng(1).normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
    assert 1 > ssim(photo, grain) > 0.3 > ssim(photo, noise(1, photo.shape)) > -0.1
    assert ssim(photo, grain) == ssim(grain, photo)
    assert ssim(photo[:, :, 0], 255 - photo[:, :, 0]) < 0


def test_histograms():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = (255, 7, 0)
    shares = histograms(pixels)
    assert shares.shape == (3, 256)
    assert shares.dtype == np.float64
    assert (shares[0, 0], shares[0, 255]) == (0.75, 0.25)
    assert (shares[1, 0], shares[1, 7]) == (0.75, 0.25)
    assert shares[2, 0] == 1
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert histograms(pixels[:, :, 0]).shape == (1, 256)


@pytest.mark.parametrize("measure", [mse, psnr, ssim, legacy_psnr_uint8])
def test_only_uint8_pictures_of_one_shape_are_measured(measure):
    with pytest.raises(ValueError, match="one shape"):
        measure(noise(1), noise(1)[:-1])
    with pytest.raises(ValueError, match="uint8"):
        measure(noise(1), noise(1) / 255)
    with pytest.raises(ValueError, match="one shape"):
        measure(noise(1)[:0], noise(1)[:0])


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(noise(1, (10, 40, 3)), noise(2, (10, 40, 3)))
    ssim(noise(1, (11, 40, 3)), noise(2, (11, 40, 3)))
