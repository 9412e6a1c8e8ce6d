"""Leaks: whether files, sizes or compression tell who made a picture, so that a detector needs to learn nothing else.

A machine is given what ought to say nothing: marks of the file, or traces of resizing and compression in the pixels. It
is judged on files that it was not fitted to. Its AUC must stay at or below :data:`MOST`. A spectrum also has what a
generator draws and what a picture shows, so that traces above it need not be of the files' history; which of these it
is, such a test cannot tell.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.detection.calibration import auc
from provenance.training.detector import fit_machine

F64 = npt.NDArray[np.float64]
RGB = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

MOST = 0.55
_FOLDS = 5
_GRID = 8
# Rings of the spectrum, in cycles a pixel.
_RINGS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2)


def file_marks(data: bytes) -> list[float]:
    """Return what a file says without its pixels: sides, proportions, bytes a pixel, JPEG tables, subsampling, metadata
    and whether it is a JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        tables: dict[int, list[int]] = getattr(image, "quantization", None) or {}
        sums = [float(sum(tables.get(number, [0]))) for number in (0, 1)]
        layers = getattr(image, "layer", None) or [(0, 0, 0, 0)]
        marks = [image.width, image.height, image.width / image.height, len(data) / (image.width * image.height)]
        marks += [*sums, layers[0][1], layers[0][2], len(image.getexif()), "icc_profile" in image.info]
        return [*map(float, marks), float(image.format == "JPEG")]


def traces(pixels: RGB) -> list[float]:
    """Return traces of what was done to pixels, uint8 ``[H, W, 3]``, sides of at least 64: steps at borders of 8 x 8
    blocks and at other places of that grid, periodic second differences as resizing leaves them (Gallagher, "Detection
    of linear and cubic interpolation in JPEG compressed images", 2005), and the fall of the spectrum from ring to ring.
    """
    grey = pixels.astype(np.float64).mean(2)
    found = np.mean([[*_blocks(side), _period(side)] for side in (grey, grey.T)], axis=0)
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None])
    rings = [
        np.log(power[(radius >= low) & (radius < high)].mean() + 1e-6)
        for low, high in pairwise(_RINGS)
    ]
    return [*map(float, found), *map(float, np.diff(rings))]


def leak_auc(marks: F64, made: Bools, files: Sequence[str]) -> float:
    """Return the AUC of a machine on marks and their squares, by cross-validation: five folds, pictures of one file in
    one of them.

    Args:
        marks: ``[N, marks]``.
        made: ``[N]``, which pictures are AI's.
        files: ``[N]``, digests of their files.
    """
    spread = np.maximum(marks.std(0), 1e-9)
    scaled = np.clip((marks - marks.mean(0)) / spread, -5, 5)
    x = np.hstack([scaled, scaled**2]).astype(np.float32)
    _names, file = np.unique(files, return_inverse=True)
    fold = np.random.default_rng(0).permutation(file.max() + 1)[file] % _FOLDS
    scores = np.zeros(len(x))
    for held in range(_FOLDS):
        seen = fold != held
        weights = np.where(made[seen], 1 / made[seen].sum(), 1 / (~made[seen]).sum())
        line, offset = fit_machine(x[seen], made[seen], weights)
        scores[~seen] = x[~seen] @ line + offset
    return auc(scores[made], scores[~made])


def stop_at_leak(found: float) -> None:
    """Stop where the AUC of a leak is above :data:`MOST`.

    Raises:
        SystemExit: with what that means.
    """
    if found > MOST:
        raise SystemExit(
            f"LEAK: traces of files and sizes alone tell AI's pictures with an AUC of {found:.3f}, more than {MOST}. "
            "The other figures may in part be theirs."
        )


def _blocks(grey: F64) -> tuple[float, float]:
    steps = np.abs(np.diff(grey, axis=1)).mean(0)
    at = np.array([np.log(steps[place::_GRID].mean() + 1e-3) for place in range(_GRID)])
    return float(at[-1] - at[:-1].mean()), float(at[:-1].max() - at[:-1].mean())


def _period(grey: F64) -> float:
    second = np.abs(np.diff(grey, 2, axis=1)).mean(0)
    spectrum = np.abs(np.fft.rfft(second - second.mean()))
    place = np.fft.rfftfreq(len(second)) * _GRID
    # What the 8 x 8 blocks of the last compression leave is not of resizing.
    rest = spectrum[(place > 0.5) & (np.abs(place - place.round()) > 0.1)]
    return float(np.log((rest.max() + 1e-6) / (np.median(rest) + 1e-6)))
