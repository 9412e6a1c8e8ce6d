"""A signature fitted to its picture outlasts edits that one pass of the injector does not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import PCG64, Generator
from PIL import Image

from provenance.images import edit_steps
from provenance.images.quality import psnr
from provenance.watermark.geometry import bit_values, placements
from provenance.watermark.networks import RGB, canonical_size, change_for, expected_pattern, small_copy
from provenance.watermark.pattern import laid_over
from provenance.watermark.payload import Payload, decode, encode
from provenance.watermark.read import read
from provenance.watermark.refine import _lies, refined
from provenance.watermark.sign import CannotBeSigned, psnr_for, sign, sign_to_last

PAYLOAD = Payload(123_456, b"\x01\x02\x03\x04\x05")


@pytest.fixture(scope="module")
def insect() -> RGB:
    picture = np.asarray(Image.open(Path(__file__).parents[3] / "sample" / "dragonfly.jpg").convert("RGB"))
    return _resized(picture, 224, 168)


@pytest.fixture(scope="module")
def fitted(insect: RGB) -> RGB:
    return sign_to_last(insect, PAYLOAD)


def _resized(pixels: RGB, width: int, height: int) -> RGB:
    way = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8)


def _says(pixels: RGB) -> bool:
    return any(reading.payload == PAYLOAD for reading in read(pixels))


def _blurred(pixels: RGB) -> RGB:
    return edit_steps.gaussian_blur(pixels, Generator(PCG64(1)), radius=2)


def test_it_is_read_where_one_pass_of_the_injector_is_not(insect: RGB, fitted: RGB) -> None:
    assert not _says(_blurred(sign(insect, PAYLOAD)))
    assert _says(_blurred(fitted))
    # At no more change.
    assert psnr(insect, fitted) > psnr_for(insect) - 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_read_in_pieces_of_the_picture(fitted: RGB, seed: int) -> None:
    assert _says(edit_steps.crop_random(fitted, Generator(PCG64(seed)), low=0.6, high=0.6))


def test_it_is_read_after_noise_and_jpeg(fitted: RGB) -> None:
    random = Generator(PCG64(4))
    assert _says(edit_steps.noise(fitted, random, sigma=0.03 * 255))
    assert _says(edit_steps.jpeg(fitted, random, quality=50))


def test_the_pattern_lies_in_a_piece_where_it_is_expected(insect: RGB) -> None:
    # Signed strongly, the search finds what the arithmetic says.
    whole = _resized(insect, 600, 400)
    signed = sign(whole, PAYLOAD, 34)
    piece = np.ascontiguousarray(signed[70:310, 130:490])
    found = expected_pattern(piece)
    placed = placements(found, 1)[0]
    height, width = canonical_size(400, 600)
    linear, shift = _lies((height / 400, width / 600), 70, 130, (240, 360))
    assert np.allclose(placed.linear, linear, atol=0.01)
    apart = np.abs((placed.shift - shift + 64) % 128 - 64)
    assert apart.max() <= 1
    assert decode(bit_values(found, placed))[0] == PAYLOAD


def test_a_larger_picture_is_fitted_on_a_copy_whose_canonical_size_is_another(insect: RGB) -> None:
    large = _resized(insect, 800, 533)
    assert canonical_size(*small_copy(large).shape[:2]) != canonical_size(533, 800)
    injected = change_for(large, laid_over(encode(PAYLOAD), *canonical_size(533, 800)))
    fitted = refined(large, encode(PAYLOAD), injected, 4.0)
    assert fitted.shape == injected.shape
    assert not np.allclose(fitted, 2 * injected, atol=0.1)


def test_noise_drowns_it_and_that_is_said() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(CannotBeSigned, match="drowns"):
        sign_to_last(noise, PAYLOAD)
