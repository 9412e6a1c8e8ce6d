"""How a signed picture was turned, scaled, mirrored and cut: found from the pattern's fixed waves.

Waves stay waves under any affine map; only their frequencies and phases change. So the magnitude of the spectrum of
the detector's map is looked up where the fixed waves would be for every turn and scale, the best of these are refined
in both, and the shift follows from the phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import map_coordinates, uniform_filter
from scipy.optimize import minimize

from provenance.watermark.pattern import TILE, waves

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

_CANDIDATES = 16
# Side of the spectrum that is searched: twice the canonical side, so that no wave falls between two of its samples.
_SPECTRUM = 512
_AROUND = 16
_TURNS = 360
_SCALES = np.exp(np.arange(np.log(0.45), np.log(2.3), 0.01))
_ASPECTS = np.exp(np.arange(-0.3, 0.31, 0.01))
_SHIFTS = 256
# What most pictures had done to them, looked at whatever the spectrum says: nothing, mirrored, turned by 90 degrees.
_UNTOUCHED = tuple(np.array(rows, np.float64) for rows in (
    [[1, 0], [0, 1]], [[-1, 0], [0, 1]], [[0, 1], [-1, 0]], [[0, 1], [1, 0]],
))  # fmt: skip
# A single wave counts at most so many times the noise around it: a picture's own periodic texture is no signature.
_MOST_OF_ONE = 20.0


@dataclass(frozen=True)
class Placement:
    """Where the pattern lies in the picture that was looked at.

    Attributes:
        linear: float64 ``[2, 2]``: a wave of frequency f (cycles a canonical pixel) appears as ``linear @ f``.
        shift: float64 ``[2]``, pixels of the tile, what the pattern's corner was moved by.
        sync: how far the fixed waves stand out, in standard deviations of what noise would give for one placement.
    """

    linear: Floats
    shift: Floats
    sync: float

    @property
    def magnified(self) -> float:
        """How many times larger than at signing the picture's parts are, relative to its area."""
        return float(1 / np.sqrt(abs(np.linalg.det(self.linear))))

    @property
    def turned(self) -> float:
        """Degrees counterclockwise, -180 to 180."""
        mirror = np.diag([-1.0, 1.0]) if self.mirrored else np.eye(2)
        u, _, vt = np.linalg.svd(self.linear @ mirror)
        rotation = u @ vt
        return float(-np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))

    @property
    def mirrored(self) -> bool:
        """Whether left and right were exchanged."""
        return bool(np.linalg.det(self.linear) < 0)


def wave_amplitudes(found: Floats, frequencies: Floats) -> Complex:
    """Return the Fourier coefficients of a map ``[H,W]`` at frequencies ``[K,2]`` (across, down; cycles a pixel)."""
    height, width = found.shape
    # Single precision and real products take a tenth of the time of complex ones; phases are right to 1e-4.
    across = np.outer(2 * np.pi * np.arange(width), frequencies[:, 0]).astype(np.float32)
    down = np.outer(2 * np.pi * np.arange(height), frequencies[:, 1]).astype(np.float32)
    real, imaginary = (found.astype(np.float32) @ part(across) for part in (np.cos, np.sin))
    return np.asarray(((real - 1j * imaginary) * (np.cos(down) - 1j * np.sin(down))).sum(0), np.complex128)


def placements(found: Floats, most: int) -> list[Placement]:
    """Return the likeliest placements of the pattern in a detector's map ``[H,W]``, best first, at most ``most``;
    none where the map is the same everywhere."""
    if np.ptp(found) == 0:
        return []
    fading = (np.hanning(size + 2)[1:-1] ** 0.25 for size in found.shape)
    faded = found * np.outer(*fading)
    power = np.abs(fft.rfft2(faded, (_SPECTRUM, _SPECTRUM))) ** 2
    power = np.asarray(power / _mean_around(power))
    searched = (*_UNTOUCHED, *_searched(power, _CANDIDATES))
    refined = [*searched, *(_refined(power, linear) for linear in searched)]
    both = [placed for linear in refined for placed in _shifted(faded, linear)]
    both.sort(key=lambda placed: -placed.sync)
    kept: list[Placement] = []
    for placed in both:
        if all(np.abs(placed.linear - other.linear).max() > 0.004 for other in kept):
            kept.append(placed)
    return kept[:most]


def _mean_around(power: Floats) -> Floats:
    """The mean of a half spectrum [S, S/2 + 1] over 33 frequencies each way."""
    smooth = uniform_filter(power, 2 * _AROUND + 1, mode=("wrap", "nearest"))
    return np.asarray(np.maximum(smooth, 1e-12 * float(power.max()) + 1e-30))


@cache
def _searched_frequencies() -> tuple[npt.NDArray[np.int32], Floats]:
    """Where the fixed waves lie in the half spectrum, int32 [maps, waves], and the linear maps [maps, 2, 2]."""
    turns = np.arange(_TURNS) * np.pi / _TURNS
    cosine, sine = np.cos(turns), np.sin(turns)
    turned = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    similar = (turned[:, None] / _SCALES[:, None, None]).reshape(-1, 2, 2)
    upright = turned[[0, _TURNS // 2], None, None] / _SCALES[:, None, None]
    squeezed = np.stack([np.diag([aspect, 1 / aspect]) for aspect in _ASPECTS])
    maps = np.concatenate([similar, (upright @ squeezed[:, None]).reshape(-1, 2, 2)])
    maps = np.concatenate([maps, maps @ np.diag([-1.0, 1.0])])
    places = np.rint(maps @ (waves().sync.T * (_SPECTRUM / TILE))).astype(np.int32)
    across, down = places[:, 0], places[:, 1]
    down = np.where(across < 0, -down, down) % _SPECTRUM
    return down * (_SPECTRUM // 2 + 1) + np.abs(across), maps


def _searched(power: Floats, most: int) -> list[Floats]:
    indices, maps = _searched_frequencies()
    clipped = np.minimum(power, _MOST_OF_ONE).astype(np.float32).ravel()
    scores = np.concatenate([clipped[part].sum(1) for part in np.array_split(indices, 32)])
    best: list[Floats] = []
    for index in np.argsort(-scores)[: 40 * most]:
        if all(np.abs(maps[index] - other).max() > 0.02 for other in best):
            best.append(maps[index])
            if len(best) == most:
                break
    return best


def _refined(power: Floats, linear: Floats) -> Floats:
    """Turn and scale a linear map by at most a few samples of the spectrum, to where the fixed waves have the most
    power."""
    places = (waves().sync * (_SPECTRUM / TILE)) @ linear.T

    def similar(change: Floats) -> Floats:
        scale, turn = change
        return np.asarray((1 + scale) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))

    def negative_power(change: Floats) -> float:
        across, down = similar(change) @ places.T
        down, across = np.where(across < 0, -down, down) % _SPECTRUM, np.abs(across)
        looked_up = map_coordinates(power, [down, across], order=1, mode="grid-wrap")
        return -float(np.minimum(looked_up, 4 * _MOST_OF_ONE).sum())

    start = 0.006 * np.array([[0, 0], [1, 0], [0, 1]])
    result = minimize(negative_power, np.zeros(2), method="Nelder-Mead",
                      options={"initial_simplex": start, "maxfev": 50, "xatol": 2e-4, "fatol": 1e-2})  # fmt: skip
    return np.asarray(similar(result.x) @ linear)


def _shifted(found: Floats, linear: Floats) -> tuple[Placement, Placement]:
    """Find the shift for a linear map and for the same upside down: magnitudes are alike, phases are opposite."""
    amplitudes = wave_amplitudes(found, (waves().sync / TILE) @ linear.T)
    return _best_shift(amplitudes, linear), _best_shift(amplitudes.conj(), -linear)


def _best_shift(amplitudes: Complex, linear: Floats) -> Placement:
    w = waves()
    magnitudes = np.abs(amplitudes)
    aligned = amplitudes / np.maximum(magnitudes, np.median(magnitudes)) * np.exp(-1j * w.sync_phase)
    across, down = w.sync.T
    # Of a real transform the half that is kept counts twice, but for the column that has both signs.
    both = np.where(across < 0, aligned.conj(), aligned) * np.where(across == 0, 1.0, 0.5)
    plane = np.zeros((_SHIFTS, _SHIFTS // 2 + 1), np.complex64)
    plane[np.where(across < 0, -down, down) % _SHIFTS, np.abs(across)] = both
    # A pattern moved by t has its wave f behind by 2 pi f . t / TILE; the inverse transform peaks where that is undone.
    match = fft.irfft2(plane, (_SHIFTS, _SHIFTS)) * _SHIFTS**2
    row, column = np.unravel_index(int(match.argmax()), match.shape)
    shift = np.array([column, row]) * (TILE / _SHIFTS)
    return Placement(linear, shift, float(match[row, column] / np.sqrt((np.abs(aligned) ** 2).sum() / 2)))


def bit_values(found: Floats, placed: Placement) -> Floats:
    """Return how strongly each bit's waves say one (positive) or zero, float64 ``[127]``, in units of their noise."""
    w = waves()
    frequencies = w.carriers / TILE
    amplitudes = wave_amplitudes(found, frequencies @ placed.linear.T)
    amplitudes = amplitudes * np.exp(2j * np.pi * frequencies @ placed.shift)
    real, imaginary = amplitudes.real, -amplitudes.imag
    values = np.where(w.quadrature == 0, real[w.wave], imaginary[w.wave]) * w.sign
    spread = np.sqrt((values**2).mean(0, keepdims=True))
    return np.asarray((values / np.maximum(spread, 1e-12)).sum(1) / np.sqrt(values.shape[1]))
