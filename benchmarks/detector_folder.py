"""The DinoHash paper's table for a folder of the user's own, such as Synthbuster beside RAISE-1k, or GenImage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.detector_judged import protocol_file
from benchmarks.detector_measures import F64
from provenance.detection.calibration import auc, balanced_accuracy
from provenance.detection.detector import Detector
from provenance.images.decode import DecodeError, decode
from provenance.training.detector import mean_features

PUBLISHED_TABLE = """| as published, Synthbuster and RAISE-1k | DALL-E 2 | DALL-E 3 | Firefly | Midjourney v5 | mean |
|---|---|---|---|---|---|
| Cozzolino et al. | .706/.612 | .794/.639 | .766/.635 | .698/.602 | .741/.622 |
| Corvi et al. | .689/.502 | .287/.500 | .574/.501 | .481/.500 | .508/.501 |
| frozen DFN ViT-H 378 | .767/.584 | .999/.980 | .936/.754 | .949/.804 | .913/.780 |
| frozen SigLIP 384 | .731/.600 | .997/.972 | .924/.742 | .926/.772 | .895/.771 |"""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_REAL, _MADE = "nature", "ai"


def folder_table(detector: Detector, folder: Path, real: Path | None) -> str:
    """Return the paper's table for a folder of the user's own: AUC and balanced accuracy at probability one half.

    Raises:
        SystemExit: there are no pictures where they were looked for.
    """
    line = detector.lines["all"]
    fixed = -line.intercept / line.slope

    def margins(files: Iterable[Path], name: str) -> F64:
        features = []
        for file in track(sorted(files), name):
            try:
                small = decode(protocol_file(decode(file.read_bytes()).pixels, file.name)).pixels
            except DecodeError as problem:
                print(f"{file}: {problem.message}")
                continue
            features.append(mean_features(detector.tower, small))
        if not features:
            raise SystemExit(f"There are no pictures for {name}.")
        return line.margins(np.array(features))

    places = sorted(path for path in folder.iterdir() if path.is_dir() and path != real)
    if not places:
        raise SystemExit(f"{folder} has no folders of generators.")
    shared = margins(_pictures(real), "people's pictures") if real else None
    head, cells, found = [], [], []
    for place in places:
        below = {path.name: path for path in place.rglob("*") if path.is_dir() and path.name in (_REAL, _MADE)}
        if shared is None and _REAL not in below:
            raise SystemExit(f"{place} has no folder {_REAL!r}. Name the folder of people's pictures with --real.")
        made = margins(_pictures(below.get(_MADE, place)), place.name)
        other = shared if shared is not None else margins(_pictures(below[_REAL]), f"{place.name}, {_REAL}")
        found.append((auc(made, other), balanced_accuracy(made, other, fixed)))
        head.append(place.name)
        cells.append(f"{found[-1][0]:.3f}/{found[-1][1]:.3f}")
    mean = "/".join(f"{value:.3f}" for value in np.mean(found, axis=0))
    lines = [["model, AUC/accuracy", *head, "mean"], ["---"] * (len(head) + 2), [detector.version, *cells, mean]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{PUBLISHED_TABLE}"


def _pictures(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in _SUFFIXES]
