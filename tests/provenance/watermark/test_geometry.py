"""Finding a pattern that was turned, scaled, mirrored and cut, in noise."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from provenance.watermark.geometry import _best_shift, bit_values, placements
from provenance.watermark.pattern import laid_over, sampled, spectrum, tile, waves
from provenance.watermark.payload import Payload, decode, encode

Floats = npt.NDArray[np.float64]
HEIGHT, WIDTH = 220, 296


def _turned(x: Floats, degrees: float) -> Floats:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(x, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC), np.float64)


def _scaled(x: Floats, height: int, width: int) -> Floats:
    return np.asarray(cv2.resize(x, (width, height), interpolation=cv2.INTER_CUBIC), np.float64)


@pytest.mark.parametrize(
    ("edit", "turned", "magnified", "mirrored"),
    [
        (lambda x: x, 0, 1, False),
        (lambda x: _scaled(x[30:162, 50:228], HEIGHT, WIDTH), 0, 1 / 0.6, False),
        (lambda x: _turned(x, 10), 10, 1, False),
        (lambda x: x[:, ::-1], 0, 1, True),
        (lambda x: np.rot90(x), 90, 1, False),
        (lambda x: x[::-1, ::-1], 180, 1, False),
        (lambda x: _scaled(x, 256, 256), 0, 1, False),
    ],
    ids=["as_it_is", "cut", "turned", "mirrored", "quarter_turn", "upside_down", "squeezed"],
)
def test_it_works(edit: Callable[[Floats], Floats], turned: float, magnified: float, mirrored: bool) -> None:
    random = np.random.default_rng(1)
    payload = Payload(4711, bytes(range(5)))
    x = edit(laid_over(encode(payload), HEIGHT, WIDTH).astype(np.float64))
    noisy = x + 6 * random.standard_normal(x.shape)
    best = placements(noisy, 2)[0]
    assert (abs(best.turned) if abs(turned) == 180 else best.turned) == pytest.approx(turned, abs=0.7)
    assert best.magnified == pytest.approx(magnified, rel=0.015)
    assert best.mirrored is mirrored
    assert decode(bit_values(noisy, best))[0] == payload


def test_noise_has_no_placement_that_stands_out() -> None:
    random = np.random.default_rng(2)
    best = [placements(random.standard_normal((HEIGHT, WIDTH)), 1)[0].sync for _ in range(4)]
    signed = placements(laid_over(encode(Payload(1, bytes(5))), HEIGHT, WIDTH).astype(np.float64), 1)[0].sync
    assert max(best) < 6 < 8 < signed


def test_an_empty_map_has_no_placement() -> None:
    assert placements(np.zeros((256, 256)), 2) == []


def test_the_pattern_is_what_its_spectrum_says() -> None:
    bits = encode(Payload(99, b"abcde"))
    frequencies, amplitudes = spectrum(bits)
    row, column = 17, 90
    wave = np.exp(2j * np.pi * (frequencies @ np.array([column, row])) / 128)
    assert tile(bits)[row, column] == pytest.approx((amplitudes * wave).sum().real, abs=1e-4)
    assert tile(bits).var() == pytest.approx(1, abs=1e-3)
    assert tile(bits).mean() == pytest.approx(0, abs=1e-5)


def test_every_bit_has_waves_of_its_own() -> None:
    ends = waves().wave * 2 + waves().quadrature
    assert len(np.unique(ends)) == ends.size
    sync, carriers = ({tuple(pair) for pair in which.tolist()} for which in (waves().sync, waves().carriers))
    assert not sync & carriers


def test_a_pattern_between_the_pixels_is_the_one_at_them_elsewhere() -> None:
    bits = np.random.default_rng(5).random(127) < 0.5
    rows, columns = np.arange(40.0), np.arange(24.0)
    assert np.allclose(sampled(bits, rows, columns), laid_over(bits, 40, 24), atol=1e-5)
    # Waves longer than six pixels: a cubic through the pixels is near what lies between them.
    twice = cv2.resize(laid_over(bits, 64, 64), (128, 128), interpolation=cv2.INTER_CUBIC)[8:-8, 8:-8]
    places = (np.arange(128) + 0.5) / 2 - 0.5
    assert np.corrcoef(sampled(bits, places, places)[8:-8, 8:-8].ravel(), twice.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_the_shift_is_that_of_the_whole_complex_transform(seed: int) -> None:
    w, random = waves(), np.random.default_rng(seed)
    # Waves straight down are kept once by a real transform, the others twice.
    weight = np.where(w.sync[:, 0] == 0, 30.0, 1.0) if seed % 2 else np.ones(len(w.sync))
    amplitudes = weight * (random.standard_normal(len(w.sync)) + 1j * random.standard_normal(len(w.sync)))
    placed = _best_shift(amplitudes, np.eye(2))
    magnitudes = np.abs(amplitudes)
    aligned = amplitudes / np.maximum(magnitudes, np.median(magnitudes)) * np.exp(-1j * w.sync_phase)
    plane = np.zeros((256, 256), np.complex128)
    plane[w.sync[:, 1] % 256, w.sync[:, 0] % 256] = aligned
    match = np.fft.ifft2(plane).real * 256**2
    assert placed.sync == pytest.approx(match.max() / np.sqrt((np.abs(aligned) ** 2).sum() / 2), rel=1e-5)
    row, column = np.unravel_index(match.argmax(), match.shape)
    assert placed.shift.tolist() == [column / 2, row / 2]
