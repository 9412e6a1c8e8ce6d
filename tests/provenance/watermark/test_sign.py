"""Signing real pictures and reading them with the shipped networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from provenance.images.edits import apply
from provenance.images.quality import psnr
from provenance.watermark.payload import Payload, authentication_tag, is_genuine
from provenance.watermark.read import genuine, read
from provenance.watermark.sign import LEAST_PSNR, MOST_PSNR, CannotBeSigned, psnr_for, sign

RGB = npt.NDArray[np.uint8]
SAMPLE = Path(__file__).parents[3] / "sample"
KEY = bytes(range(32))
PAYLOAD = Payload(123_456, authentication_tag(KEY, 123_456, b"chelsea"))


def _vouched(payload: Payload) -> bool:
    return is_genuine(KEY, payload, b"chelsea")


@pytest.fixture(scope="module")
def original() -> RGB:
    return np.asarray(Image.open(SAMPLE / "chelsea.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def signed(original: RGB) -> RGB:
    return sign(original, PAYLOAD)


def test_it_cannot_be_seen(original: RGB, signed: RGB) -> None:
    assert signed.shape == original.shape
    assert signed.dtype == np.uint8
    assert psnr_for(original) - 0.05 < psnr(original, signed) < psnr_for(original) + 2
    assert psnr(original, sign(original, PAYLOAD, 48)) == pytest.approx(48, abs=0.1)


def test_flat_pictures_are_changed_less_than_textured_ones(original: RGB) -> None:
    noise = np.random.default_rng(1).integers(0, 256, original.shape, np.uint8)
    flat = np.full_like(original, 90)
    assert LEAST_PSNR <= psnr_for(noise) < psnr_for(original) < psnr_for(flat) == MOST_PSNR
    # One grey level up or down is not seen.
    assert np.abs(sign(flat, PAYLOAD).astype(int) - flat).max() == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda x: x,
        lambda x: apply("stable_signature_jpeg_50", x, 1),
        lambda x: apply("thorn_resize0.5", x, 1),
        lambda x: apply("deephash_rotate_+10", x, 1),
        lambda x: apply("flip", x, 1),
    ],
    ids=["clean", "jpeg", "half", "turned", "mirrored"],
)
def test_it_is_read_after_edits(signed: RGB, edit: Callable[[RGB], RGB]) -> None:
    reading = genuine(read(edit(signed)), _vouched)
    assert reading is not None
    assert reading.payload == PAYLOAD


def test_a_picture_without_one_says_nothing_genuine(original: RGB) -> None:
    readings = read(original)
    assert readings
    assert genuine(readings, _vouched) is None


def test_a_signature_with_another_key_is_not_genuine(original: RGB) -> None:
    forged = Payload(PAYLOAD.number, authentication_tag(KEY[::-1], PAYLOAD.number, b"chelsea"))
    readings = read(sign(original, forged))
    assert readings[0].payload == forged
    assert genuine(readings, _vouched) is None


@pytest.mark.parametrize("shape", [(63, 200, 3), (64, 500, 3)])
def test_pictures_without_room_are_refused_in_words(shape: tuple[int, ...]) -> None:
    with pytest.raises(CannotBeSigned, match=f"{shape[1]} x {shape[0]}"):
        sign(np.zeros(shape, np.uint8), PAYLOAD)


def test_tiny_pictures_say_nothing() -> None:
    assert read(np.zeros((20, 20, 3), np.uint8)) == ()


def test_flat_pictures_are_read_without_a_fault() -> None:
    assert genuine(read(np.full((100, 100, 3), 255, np.uint8)), _vouched) is None
