"""Judge a picture: how likely it was made by AI, which parts of it say so, or that it cannot be told."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from scipy.special import expit

from provenance.detection.views import RGB, Box, boxes, cut, levelled, why_nothing
from provenance.models import store
from provenance.models.errors import ModelCorrupt, ModelMissing

if TYPE_CHECKING:
    from provenance.detection.tower import Tower

MODEL = "ai-detector"
VERSION = "ai-detector-v2"
F32 = npt.NDArray[np.float32]


class Band(StrEnum):
    """The answer in words."""

    LIKELY_AI = "likely_ai"
    LIKELY_NOT_AI = "likely_not_ai"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted machine: the margin of features f is ``weights @ f + offset``.

    Attributes:
        weights: float32 ``[width]``.
        slope, intercept: Platt's, of the probability.
        ai_from: the least margin of :attr:`Band.LIKELY_AI`.
        not_to: the highest margin of :attr:`Band.LIKELY_NOT_AI`.
    """

    weights: F32
    offset: float
    slope: float
    intercept: float
    ai_from: float
    not_to: float

    def margins(self, features: F32) -> npt.NDArray[np.float64]:
        """Map features ``[..., width]`` to margins ``[...]``."""
        return np.asarray(features @ self.weights + self.offset, np.float64)

    def probability(self, margin: Any) -> Any:
        """Return the probability, 0..1, that a picture with this margin was made by AI, if as many were as were not."""
        return expit(self.slope * margin + self.intercept)

    def band(self, margin: float) -> Band:
        """Return the answer; between the thresholds there is none."""
        if margin >= self.ai_from:
            return Band.LIKELY_AI
        return Band.LIKELY_NOT_AI if margin <= self.not_to else Band.CANNOT_TELL


@dataclass(frozen=True)
class Crop:
    """One square: where it lies and its margin."""

    box: Box
    margin: float


@dataclass(frozen=True)
class Detection:
    """What is said of a picture.

    Attributes:
        probability: 0..1; None where it cannot be told, or the figure would be read as an answer.
        margin: mean of the crops'; None where there was nothing to judge.
        reason: ``"small"``, ``"long"`` or ``"plain"`` where there was nothing to judge.
    """

    band: Band
    probability: float | None
    margin: float | None
    crops: list[Crop] = field(default_factory=list)
    reason: str | None = None


class Detector:
    """A line over a tower's features. Safe to use from several threads; nothing is loaded before it is needed.

    Args:
        path: a file that ``provenance.training.detector`` wrote; by default the shipped one.
        weights: of the tower that it was fitted on; by default the store's.
    """

    def __init__(self, path: Path | None = None, weights: Path | None = None) -> None:
        self._path, self._weights = path, weights
        self._lock = threading.Lock()
        self._tower: Tower | None = None
        self._lines: dict[str, Line] = {}
        self._about: dict[str, Any] = {}

    def load(self) -> None:
        """Load the lines and the tower.

        Raises:
            ModelMissing: a file is not here; the message has the command that fetches it.
            ModelCorrupt: a file is not what it should be.
        """
        with self._lock:
            if self._tower is None:
                from provenance.detection.tower import tower_named

                path = self._path or store.path(MODEL)
                self._lines, self._about = read_lines(path)
                name = self._about["tower"]
                if digest_of(name, self._weights) != self._about["tower_sha256"]:
                    raise ModelCorrupt(path.name, path, f"it was fitted on other weights of {name} than those here.")
                self._tower = tower_named(name, self._weights)

    @property
    def version(self) -> str:
        """``ai-detector-v2`` of the shipped one, of any other one its own; stored with every answer."""
        self.load()
        return str(self._about["version"])

    @property
    def tower(self) -> Tower:
        """What it sees with."""
        self.load()
        assert self._tower is not None
        return self._tower

    @property
    def about(self) -> dict[str, Any]:
        """What the file says of itself: version, tower, generators, error rates asked for, rates measured."""
        self.load()
        return self._about

    @property
    def lines(self) -> dict[str, Line]:
        """``"all"``, which judges, and one that never saw a generator under each generator's name."""
        self.load()
        return self._lines

    def detect(self, pixels: RGB) -> Detection:
        """Judge a picture, uint8 ``[H, W, 3]`` sRGB; 0.1 to 0.4 s on one core with the shipped tower."""
        if reason := why_nothing(pixels):
            return Detection(Band.CANNOT_TELL, None, None, reason=reason)
        line = self.lines["all"]
        places, features = features_of(self.tower, pixels)
        margins = line.margins(features)
        margin = float(margins.mean())
        crops = [Crop(box, float(one)) for box, one in zip(places, margins, strict=True)]
        band = line.band(margin)
        probability = None if band == Band.CANNOT_TELL else float(line.probability(margin))
        return Detection(band, probability, margin, crops)


DETECTOR = Detector()
"""The shipped one."""


def features_of(tower: Tower, pixels: RGB) -> tuple[list[Box], F32]:
    """Return the squares of a picture, uint8 ``[H, W, 3]`` sRGB, and their features, ``[squares, width]``."""
    small = levelled(pixels)
    places = boxes(*small.shape[:2])
    return places, describe(tower, np.stack([cut(small, box, tower.side) for box in places]))


def describe(tower: Tower, squares: npt.NDArray[np.uint8]) -> F32:
    """Return the features, float32 ``[N, width]``, of squares ``[N, side, side, 3]``."""
    import torch

    with torch.no_grad():
        pixels = torch.from_numpy(np.array(squares)).permute(0, 3, 1, 2).float() / 255
        return np.asarray(tower(pixels).float().numpy(), np.float32)


def digest_of(tower: str, weights: Path | None) -> str:
    """Return the SHA-256, hex, of a tower's file: the given one, or the store's.

    Raises:
        ModelMissing: it is not here.
    """
    if weights is None:
        return store.sha256(tower)
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        words = f"{weights} cannot be read: {problem.strerror}. Name a file of {tower}, or none for the store's."
        raise ModelMissing(words, name=tower, command=None) from problem


def read_lines(path: Path) -> tuple[dict[str, Line], dict[str, Any]]:
    """Read what ``provenance.training.detector`` wrote: lines by name, and what the file says of itself.

    Raises:
        ModelMissing: it cannot be read.
        ModelCorrupt: it is something else.
    """
    try:
        with safe_open(path, "numpy") as file:
            weights, offsets = file.get_tensor("weights"), file.get_tensor("offsets")
            about = json.loads(file.metadata()["about"])
        lines = {
            name: Line(row.astype(np.float32), float(offset), **about["calibration"][name])
            for name, row, offset in zip(about["lines"], weights, offsets, strict=True)
        }
    except OSError as problem:
        words = f"{path} cannot be read ({problem}). Make one by provenance.training.detector, or name none."
        raise ModelMissing(words, name=MODEL, command=None) from problem
    except (SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ModelCorrupt(MODEL, path, f"it is no file of a detector ({problem}).") from problem
    return lines, about


def heat_map(detection: Detection, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return how much each place speaks for AI, ``[height, width]``: the mean margin of the squares that cover it, less
    the picture's own. Places that no square covers are 0."""
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for crop in detection.crops:
        top, left = round(crop.box.top * height), round(crop.box.left * width)
        bottom = round((crop.box.top + crop.box.height) * height)
        right = round((crop.box.left + crop.box.width) * width)
        total[top:bottom, left:right] += crop.margin
        count[top:bottom, left:right] += 1
    mean = np.float32(detection.margin or 0)
    return np.where(count > 0, total / np.maximum(count, 1) - mean, np.float32(0)).astype(np.float32)
