"""The leak test finds a leak where one is, and none where none is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks.leaks import file_marks, leak_auc, stop_at_leak, traces
from provenance.detection.views import levelled
from provenance.images.decode import decode, encode_jpeg
from provenance.training.detector_pictures import with_one_history

RGB = npt.NDArray[np.uint8]
COUNT = 120
MADE = np.arange(COUNT) % 2 == 0
FILES = [str(number) for number in range(COUNT)]


def picture(number: int, side: int = 256) -> RGB:
    """Return noise with the spectrum of natural pictures, by its number."""
    random = np.random.default_rng(number)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(random.normal(size=(side, side))) / np.maximum(frequency, 1 / side)
    grey = np.fft.irfft2(spectrum)
    pixels = 128 + 45 * (grey - grey.mean()) / grey.std() + random.normal(size=(side, side)) * 4
    return np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def enlarged(pixels: RGB) -> RGB:
    """Return a picture of the same size that was half as large."""
    small = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC))


def hard_saved(pixels: RGB) -> RGB:
    """Return a picture after JPEG 20."""
    return decode(encode_jpeg(pixels, quality=20)).pixels


def test_it_works() -> None:
    plain = [picture(number) for number in range(COUNT)]

    def found(plant: object) -> float:
        shown = [plant(one) if made and callable(plant) else one for one, made in zip(plain, MADE, strict=True)]
        seen = [levelled(with_one_history(one, name)) for one, name in zip(shown, FILES, strict=True)]
        return leak_auc(np.array([traces(one) for one in seen]), MADE, FILES)

    assert found(None) < 0.7, "there is nothing to find"
    assert found(enlarged) > 0.9
    assert found(hard_saved) > 0.9


def test_files_of_another_compression_are_told_apart() -> None:
    small = [picture(number, 64) for number in range(COUNT)]
    alike = [encode_jpeg(one, quality=90) for one in small]
    other = [encode_jpeg(one, quality=80 if made else 90) for one, made in zip(small, MADE, strict=True)]
    assert leak_auc(np.array([file_marks(one) for one in other]), MADE, FILES) > 0.99
    assert leak_auc(np.array([file_marks(one) for one in alike]), MADE, FILES) < 0.7


def test_pictures_of_one_file_are_never_learnt_from_and_judged() -> None:
    # Four pictures a file have its mark, which says nothing of other files.
    random = np.random.default_rng(1)
    marks = np.repeat(random.normal(size=(12, 40)), 4, axis=0)
    made = np.repeat(np.arange(12) % 2 == 0, 4)
    apart = [str(number) for number in range(48)]
    together = [str(number // 4) for number in range(48)]
    assert leak_auc(marks, made, apart) > 0.95
    assert leak_auc(marks, made, together) < 0.8


def test_a_leak_stops_the_benchmark() -> None:
    stop_at_leak(0.55)
    with pytest.raises(SystemExit, match=r"LEAK.*0\.561"):
        stop_at_leak(0.561)
