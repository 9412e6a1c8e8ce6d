"""What ``benchmarks.detector`` judges: pictures after the DinoHash paper's protocol, and their features."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator
from PIL import Image
from rich.progress import track

from benchmarks.detector_measures import Bools, Numbers
from benchmarks.leaks import file_marks, traces
from benchmarks.results import QUICK
from provenance.detection.detector import Detector
from provenance.detection.views import levelled
from provenance.images.decode import decode
from provenance.images.edits import PRESETS
from provenance.training.detector import mean_features
from provenance.training.detector_pictures import GENERATORS, RGB, Sample, samples
from provenance.training.pictures import Part

LEAKS = {
    "file": "original files: sides, proportions, bytes, JPEG tables, metadata",
    "history": "traces in the pixels, with the common history",
    "levelled": "traces in the pixels that the net sees, after the protocol",
}


@dataclass(frozen=True, eq=False)
class Judged:
    """One source's pictures: features ``[N, width]`` after the protocol, what :data:`LEAKS` has of them, and the
    pictures of each file."""

    features: npt.NDArray[np.float32]
    marks: dict[str, list[list[float]]]
    held: list[Sample]

    @property
    def files(self) -> list[Numbers]:
        """Of each file the numbers of its pictures: of a sheet there are up to four."""
        _names, file = np.unique([sample.sha256 for sample in self.held], return_inverse=True)
        return [np.flatnonzero(file == number) for number in range(file.max() + 1)]

    @property
    def of_test(self) -> Bools:
        """``[N]``, which are of the test part."""
        return np.array([sample.part == Part.TEST for sample in self.held])


def protocol_file(pixels: RGB, name: str) -> bytes:
    """Return a picture after the paper's protocol, as the file that it would be."""
    chance = Generator(PCG64(int.from_bytes(hashlib.sha256(f"protocol {name}".encode()).digest()[:7], "big")))
    crop, resize, _jpeg = PRESETS["detector"].steps
    small = resize(crop(pixels, chance), chance)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=int(chance.integers(85, 101)))
    return buffer.getvalue()


def judge_source(detector: Detector, source: str, most: int) -> Judged:
    """Take features and marks of a source's test pictures, of a generator's of all parts."""
    made = source in GENERATORS
    held = list(samples(source, dict.fromkeys(Part, most) if made else {Part.TEST: most}))
    if QUICK:
        held = sorted(held, key=lambda sample: sample.part != Part.TEST)[:most]
    features: list[npt.NDArray[np.float32]] = []
    marks: dict[str, list[list[float]]] = {name: [] for name in LEAKS}
    for sample in track(held, source, disable=QUICK):
        shown = decode(protocol_file(sample.pixels, sample.name)).pixels
        features.append(mean_features(detector.tower, shown))
        marks["file"].append(file_marks(sample.file))
        marks["history"].append(traces(sample.pixels))
        marks["levelled"].append(traces(levelled(shown)))
    return Judged(np.array(features), marks, held)
