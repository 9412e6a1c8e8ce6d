"""The pattern that carries a signature's bits: a periodic sum of sine waves in the middle frequencies.

A third of its power is 40 waves that are the same in every picture; they tell how a picture was turned, scaled,
mirrored and cut. The others carry one bit each, eight for every bit, one from each of eight rings of frequency, so
that every bit suffers alike (spread spectrum, Cox et al., IEEE TIP 1997; the fixed waves as a template for geometry,
Pereira and Pun, IEEE TIP 2000). Everything here is public: what makes a signature genuine is its MAC.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, Philox

# A picture's signature is computed on a copy of this area, in pixels squared, whatever its own size.
CANONICAL_SIDE = 256
TILE = 128
RAW_BITS = 127

_LOWEST, _HIGHEST = 5.0, 20.0
_SYNC_LOWEST, _SYNC_HIGHEST = 7.0, 18.0
_SYNC_WAVES = 40
_WAVES_PER_BIT = 8
SYNC_POWER = 0.35
_DRAWS = 0x50524F56

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Waves(NamedTuple):
    """The frequencies of the pattern and what each carries.

    Attributes:
        sync: int64 ``[40, 2]``, (across, down) in cycles a tile, of the waves that are always the same.
        sync_phase: float64 ``[40]``, radians.
        carriers: int64 ``[F, 2]``, frequencies of the waves that carry bits.
        wave: int64 ``[127, 8]``, index into ``carriers`` of every bit's waves.
        quadrature: int64 ``[127, 8]``, 0 for a cosine, 1 for a sine.
        sign: float64 ``[127, 8]``, of +1 and -1.
    """

    sync: Ints
    sync_phase: Floats
    carriers: Ints
    wave: Ints
    quadrature: Ints
    sign: Floats


@cache
def waves() -> Waves:
    """Return the waves of pattern ``signature-v1``; fixed for ever, drawn by Philox."""
    random = Generator(Philox(_DRAWS))
    grid = np.arange(-int(_HIGHEST), int(_HIGHEST) + 1)
    across, down = (axis.ravel() for axis in np.meshgrid(grid, grid))
    radius = np.hypot(across, down)
    half = (down > 0) | ((down == 0) & (across > 0))
    band = np.flatnonzero(half & (radius >= _LOWEST) & (radius <= _HIGHEST))
    inner = band[(radius[band] >= _SYNC_LOWEST) & (radius[band] <= _SYNC_HIGHEST)]
    sync = np.sort(random.permutation(inner)[:_SYNC_WAVES])
    phase = random.uniform(0, 2 * np.pi, _SYNC_WAVES)
    free = np.setdiff1d(band, sync)
    free = free[np.lexsort((free, radius[free]))]
    ends = np.stack([np.repeat(np.arange(len(free)), 2), np.tile([0, 1], len(free))], axis=1)
    spare = len(ends) - RAW_BITS * _WAVES_PER_BIT
    ends = ends[spare // 2 : len(ends) - (spare - spare // 2)]
    rings = [random.permutation(ring) for ring in np.split(ends, _WAVES_PER_BIT)]
    chosen = np.stack(rings, axis=1)
    sign = np.where(random.random(chosen.shape[:2]) < 0.5, -1.0, 1.0)
    pairs = np.stack([across, down], axis=1).astype(np.int64)
    return Waves(pairs[sync], phase, pairs[free], chosen[..., 0], chosen[..., 1], sign)


def spectrum(bits: npt.NDArray[np.bool_]) -> tuple[Ints, npt.NDArray[np.complex128]]:
    """Return the frequencies of a tile, int64 ``[K, 2]``, and their amplitudes, complex ``[K]``, for 127 raw bits.

    The tile is the real part of the sum of ``amplitude * exp(2 pi i frequency . position / TILE)``; its variance is 1.
    """
    if bits.shape != (RAW_BITS,):
        raise ValueError(f"expected {RAW_BITS} bits, got {bits.shape}")
    w = waves()
    amplitude = np.sqrt(2 * (1 - SYNC_POWER) / w.wave.size)
    values = amplitude * w.sign * np.where(bits, 1.0, -1.0)[:, None]
    payload = np.zeros(len(w.carriers), np.complex128)
    np.add.at(payload, w.wave.ravel(), np.where(w.quadrature == 0, values + 0j, -1j * values).ravel())
    sync = np.sqrt(2 * SYNC_POWER / len(w.sync)) * np.exp(1j * w.sync_phase)
    return np.concatenate([w.sync, w.carriers]), np.concatenate([sync, payload])


def tile(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return the pattern's tile for 127 raw bits, float32 ``[128, 128]``, of mean 0 and variance 1; it repeats."""
    frequencies, amplitudes = spectrum(bits)
    plane = np.zeros((TILE, TILE), np.complex128)
    plane[frequencies[:, 1] % TILE, frequencies[:, 0] % TILE] = amplitudes
    return np.asarray(np.fft.ifft2(plane).real * TILE * TILE, np.float32)


def sampled(bits: npt.NDArray[np.bool_], rows: Floats, columns: Floats) -> npt.NDArray[np.float32]:
    """Return the pattern at rows and columns of the tile that need not be whole, float32 ``[len(rows),
    len(columns)]``: the tile's upper left pixel is at 0, 0."""
    frequencies, amplitudes = spectrum(bits)
    across, down = frequencies.T * (2j * np.pi / TILE)
    down, across = np.exp(np.outer(rows, down)), np.exp(np.outer(columns, across))
    return np.asarray(((down * amplitudes) @ across.T).real, np.float32)


def laid_over(bits: npt.NDArray[np.bool_], height: int, width: int) -> npt.NDArray[np.float32]:
    """Return the pattern, float32 ``[height, width]``, from the picture's upper left corner on."""
    rows, columns = -(-height // TILE), -(-width // TILE)
    return np.tile(tile(bits), (rows, columns))[:height, :width]
