"""Pictures of something are told from flat, smooth and random ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from provenance.hashing.detail import detail
from provenance.images.decode import decode, encode_jpeg
from tests.provenance.hashing.test_hashers import smooth


@pytest.mark.parametrize("side", [32, 128, 224])
def test_photographs_have_detail(side: int) -> None:
    for picture in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket()):
        square = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)
        assert 0.75 <= detail(square) <= 1
        faint = (square // 2 + 64).astype(np.uint8)
        assert detail(faint) > 0.7


@pytest.mark.parametrize("strength", [2, 20, 60, 255])
@pytest.mark.parametrize("side", [48, 128, 224])
def test_noise_has_none_however_strong_and_fine(strength: int, side: int) -> None:
    random = np.random.default_rng(strength)
    for shape in ((side, side, 3), (side, side, 1)):
        noise = random.integers(128 - strength // 2, 128 + (strength + 1) // 2, shape).repeat(4 - shape[2], 2)
        noise = noise[:, :, :3].astype(np.uint8)
        assert detail(cv2.resize(noise, (224, 224), interpolation=cv2.INTER_LINEAR).astype(np.uint8)) < 0.5
        assert detail(decode(encode_jpeg(noise, quality=85)).pixels) < 0.5


@pytest.mark.parametrize("kind", ["slanting ramp", "ring ramp", "vignette", "faint noise"])
def test_smooth_pictures_have_little(kind: str) -> None:
    square = cv2.resize(smooth(kind), (224, 224), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert detail(square) < 0.6
    assert detail(decode(encode_jpeg(square, quality=85)).pixels) < 0.6


def test_flat_pictures_have_none() -> None:
    for value in (0, 77, 255):
        assert detail(np.full((224, 224, 3), value, np.uint8)) == 0
    checkered = (np.indices((224, 224)).sum(0) % 2 * 255).astype(np.uint8)
    assert detail(checkered[:, :, None].repeat(3, 2)) < 0.05
