"""What the detector looks at: one size, one compression, squares that cover the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from provenance.detection.views import SHORT_SIDE, boxes, cut, levelled, why_nothing
from provenance.images.edit_steps import jpeg


@pytest.mark.parametrize("shape", [(400, 600), (600, 400), (224, 224), (150, 700)])
def test_a_picture_is_made_a_thumbnail(shape: tuple[int, int]) -> None:
    pixels = np.asarray(Image.fromarray(data.astronaut()).resize(shape[::-1]))
    small = levelled(pixels)
    assert min(small.shape[:2]) == SHORT_SIDE
    assert small.shape[1] / small.shape[0] == pytest.approx(shape[1] / shape[0], rel=0.01)


def test_what_a_picture_was_saved_as_is_seen_less() -> None:
    pixels = data.astronaut()
    rng = np.random.default_rng(0)
    saved = [levelled(jpeg(pixels, rng, quality=quality)).astype(int) for quality in (75, 100)]
    raw = [np.asarray(Image.open(io.BytesIO(_jpeg(pixels, quality)))).astype(int) for quality in (75, 100)]
    assert np.abs(saved[0] - saved[1]).mean() < 0.75 * np.abs(raw[0] - raw[1]).mean()


def test_squares_cover_every_place_and_lie_inside() -> None:
    for height, width in ((224, 224), (224, 336), (500, 224)):
        covered = np.zeros((height, width), bool)
        found = boxes(height, width)
        for box in found:
            assert 0 <= box.left <= box.left + box.width <= 1 + 1e-9
            assert 0 <= box.top <= box.top + box.height <= 1 + 1e-9
            assert box.width * width == pytest.approx(box.height * height)
            top, left = round(box.top * height), round(box.left * width)
            covered[top : top + round(box.height * height), left : left + round(box.width * width)] = True
        assert covered.all()
    assert len(boxes(224, 224)) == 5


def test_a_square_is_what_lies_in_it() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:50, 50:] = (200, 10, 10)
    (corner,) = [box for box in boxes(100, 100) if box.top == 0 and box.left > 0]
    square = cut(pixels, corner, 64)
    assert square.shape == (64, 64, 3)
    assert square[10, 60].tolist() == [200, 10, 10]
    assert square[60, 5].tolist() == [0, 0, 0]


def test_nothing_is_said_of_what_is_small_or_plain() -> None:
    assert why_nothing(data.astronaut()) is None
    assert why_nothing(data.astronaut()[:80]) == "small"
    assert why_nothing(np.full((300, 300, 3), 90, np.uint8)) == "plain"
    assert why_nothing(np.zeros((100, 13_500, 3), np.uint8)) == "long"
    ribbon = np.asarray(Image.fromarray(data.astronaut()).resize((100, 800)))
    assert why_nothing(ribbon) is None
    assert levelled(ribbon).shape == (8 * SHORT_SIDE, SHORT_SIDE, 3)


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
