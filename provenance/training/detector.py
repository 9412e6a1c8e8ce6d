"""Train the detector of AI pictures: frozen features, a linear machine, calibrated on generators it has not seen::

    python -m provenance.training.detector WORK --ship
    python -m provenance.training.detector WORK --tower dfn5b-vit-h-14-378

The first writes the shipped detector into the package, with its card; the second writes
``WORK/dfn5b-vit-h-14-378.safetensors``, for ``provenance detect --detector``. Besides the line that judges, one is
fitted without each generator: what those say of the pictures of the generator that they never saw calibrates
probability and abstention, and anybody can measure it (``make bench-detector``).

The support vector machine is that of scikit-learn's LinearSVC by default, squared hinge loss with an L2 term, minimised
by SciPy's L-BFGS; the DinoHash paper's has the plain hinge and no such term (arXiv 2503.11195), which with few pictures
and many features has no single solution.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import PCG64, Generator
from rich.progress import track
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.stats import binomtest

from provenance.detection.calibration import auc, conformal, platt
from provenance.detection.detector import MODEL, VERSION, Band, Line, describe, digest_of, features_of
from provenance.detection.sources import SOURCES
from provenance.detection.tower import SHIPPED, Tower, tower_named
from provenance.detection.views import Box, cut, levelled
from provenance.images import edit_steps as step
from provenance.images.edits import apply
from provenance.models.catalogue import WEIGHTS
from provenance.models.errors import ModelCorrupt, ModelError
from provenance.models.vision_towers import TOWERS
from provenance.training.detector_pictures import (
    DRAWINGS,
    GENERATORS,
    PHOTOGRAPHS,
    RGB,
    chance_of,
    present,
    samples,
    with_one_history,
)
from provenance.training.pictures import DataMissing, Part
from provenance.training.regenerated import autoencoders
from provenance.training.shipping import LICENCE, write_sums

F32 = npt.NDArray[np.float32]

EDITS = ("detector", "plain", "jpeg", "screenshot")
"""What is done to a picture first: the DinoHash paper's protocol, nothing, JPEG 50..85, a screenshot."""
# Pictures of each source and part; of sd15 they are files of up to four pictures.
_MOST: dict[str, dict[Part, int]] = {
    "flickr8k": {Part.TRAIN: 700, Part.TUNE: 250},
    "caltech101": {Part.TRAIN: 350, Part.TUNE: 150},
    "wesnoth": {Part.TRAIN: 400, Part.TUNE: 200},
    "tuxpaint": {Part.TRAIN: 200, Part.TUNE: 100},
    "sd15": {Part.TRAIN: 70, Part.TUNE: 20},
    "gpt4o": {Part.TRAIN: 200, Part.TUNE: 100},
}
# Of the weight of their class, divided among those at hand; the generators share theirs equally.
_SHARES = {"flickr8k": 0.35, "caltech101": 0.25, "wesnoth": 0.25, "tuxpaint": 0.15}
# Photographs of each source that are regenerated.
_PAIRED = 60
# Sides of training crops, of the short side, as in the paper.
_SMALLEST_CROP = 0.625
_RIDGE = 1e-3
_ITERATIONS = 400
# How often a picture may be put on the wrong side: photographs and drawings called AI's, AI's called none.
ERRORS = {"photographs": 0.01, "drawings": 0.02, "made": 0.05}


@dataclass(frozen=True, eq=False)
class Rows:
    """The features of one source.

    Attributes:
        learnt: float16 ``[N, width]``: of each picture to learn from, as the detector takes them, after one edit.
        held: float16 ``[M, width]``: the same of those to calibrate on; of AI's they are those to learn from, which the
            line without their generator does not learn from.
        files: how many files those to calibrate on are from.
    """

    learnt: npt.NDArray[np.float16]
    held: npt.NDArray[np.float16]
    files: int


def edited(pixels: RGB, edit: str, name: str) -> RGB:
    """Return a picture after one of :data:`EDITS`, by the chance that its name gives."""
    seed = int.from_bytes(hashlib.sha256(f"{edit} {name}".encode()).digest()[:7], "big")
    if edit == "plain":
        return pixels
    if edit == "jpeg":
        return step.jpeg(pixels, Generator(PCG64(seed)), quality=50, up_to=85)
    return apply(edit, pixels, seed)


def random_square(pixels: RGB, chance: Generator, side: int) -> RGB:
    """Return a square of a picture, uint8 ``[side, side, 3]``, of 62.5 to 100 % of its short side."""
    height, width, _ = pixels.shape
    cut_side = float(chance.uniform(_SMALLEST_CROP, 1)) * min(height, width)
    left, top = chance.random() * (width - cut_side), chance.random() * (height - cut_side)
    return cut(pixels, Box(left / width, top / height, cut_side / width, cut_side / height), side)


def mean_features(tower: Tower, pixels: RGB) -> F32:
    """Return what the detector's margin is taken of: the mean features of a picture's squares, ``[width]``."""
    return np.asarray(features_of(tower, pixels)[1].mean(0), np.float32)


def fit_machine(features: F32, made: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]) -> tuple[F32, float]:
    """Return weights and offset of the machine, of features as they come.

    Args:
        features: ``[N, width]``.
        made: ``[N]``, which are AI's.
        weights: ``[N]``, how much each counts; each class should have as much.
    """
    total = weights / weights.sum()
    centre = (total @ features).astype(np.float32)
    scale = np.sqrt(total @ np.square(features - centre)).astype(np.float32) + np.float32(1e-3)
    x = (features - centre) / scale
    sign = np.where(made, 1.0, -1.0).astype(np.float32)
    count = weights * (2 / weights.sum())
    ridge = _RIDGE * features.shape[1]

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        line = parameters[:-1].astype(np.float32)
        short = np.maximum(0, 1 - sign * (x @ line + np.float32(parameters[-1]))).astype(np.float64)
        slope = -2 * count * sign * short
        value = float((count * short * short).sum() + ridge * parameters[:-1] @ parameters[:-1])
        gradient = slope.astype(np.float32) @ x + 2 * ridge * parameters[:-1]
        return value, np.append(gradient, slope.sum())

    start = np.zeros(features.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    line = (found[:-1] / scale).astype(np.float32)
    return line, float(found[-1] - line @ centre)


def answers(line: Line, margins: npt.NDArray[np.float64], files: int) -> dict[str, Any]:
    """Return the shares of pictures, 0..1, that a line puts into either band, each with a Wilson interval of 95 %: as
    wide as if there were only one picture a file, for pictures of one file are alike."""
    found: dict[str, Any] = {"pictures": len(margins), "files": files}
    for band in (Band.LIKELY_AI, Band.LIKELY_NOT_AI):
        share = float(np.mean([line.band(float(margin)) == band for margin in margins]))
        low, high = binomtest(round(share * files), files).proportion_ci(method="wilson")
        found[band] = {"share": round(share, 4), "low": round(float(low), 4), "high": round(float(high), 4)}
    return found


class Training:
    """The features of all pictures, kept in ``WORK``, and the lines through them."""

    def __init__(self, work: Path, tower: Tower, tower_sha256: str, pair_share: float = 0.0) -> None:
        # What another tower saw is of no use, be its name the same.
        self.folder = work / f"{tower.name}-{tower_sha256[:12]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tower = tower
        self.pair_share = pair_share
        self.rows: dict[str, Rows] = {}
        self.pairs: dict[str, npt.NDArray[np.float16]] = {}
        self.pictures: dict[str, int] = {}
        self.measured: dict[str, dict[str, Any]] = {}

    def gather(self) -> None:
        """Take the features of every picture, or read them where they were taken before.

        Raises:
            DataMissing: there are no photographs or no pictures made by AI.
        """
        for source, most in _MOST.items():
            if not present(source):
                if source in DRAWINGS:
                    print(f"{source} is not at hand: what people draw will be taken for AI's more often")
                    continue
                raise DataMissing(f"The pictures of {source} are missing.")
            self.rows[source] = self._of(source, most)
            self.pictures[source] = len(self.rows[source].learnt)
        self.pairs = self._of_pairs() if self.pair_share else {}

    def lines(self) -> dict[str, Line]:
        """Fit and calibrate all lines, and measure what each answers of the generator that it has not seen."""
        fitted = {name: self._fit(name) for name in ("all", *GENERATORS)}
        unseen = {name: _margins(*fitted[name], self.rows[name].held) for name in GENERATORS}
        groups = {name: self._people(*machine) for name, machine in fitted.items()}
        real = {name: np.concatenate(list(margins.values())) for name, margins in groups.items()}
        found = {}
        for name, (weights, offset) in fitted.items():
            known = [generator for generator in GENERATORS if generator != name]
            # Both classes by the same machines: a margin of one is never held against a margin of another.
            slope, intercept = platt([unseen[one] for one in known], [real[one] for one in known])
            ai_from = max(conformal(margins, ERRORS[group]) for group, margins in groups[name].items() if len(margins))
            not_to = min(ai_from, *(-conformal(-unseen[one], ERRORS["made"]) for one in known))
            found[name] = Line(weights, offset, slope, intercept, ai_from, not_to)
            if name in unseen:
                print(f"{name}, never seen: AUC {auc(unseen[name], real[name]):.3f}", flush=True)
                self.measured[name] = answers(found[name], unseen[name], self.rows[name].files)
        return found

    def _people(self, weights: F32, offset: float) -> dict[str, npt.NDArray[np.float64]]:
        return {
            group: np.concatenate(
                [_margins(weights, offset, self.rows[source].held) for source in sources if source in self.rows]
                or [np.empty(0)]
            )
            for group, sources in (("photographs", PHOTOGRAPHS), ("drawings", DRAWINGS))
        }

    def _fit(self, without: str) -> tuple[F32, float]:
        features, made, weights = [], [], []
        generators = [name for name in GENERATORS if name != without]
        people = sum(_SHARES[source] for source in self.rows if source in _SHARES)

        def add(rows: F32, is_made: bool, share: float) -> None:
            features.append(rows)
            made.append(np.full(len(rows), is_made))
            weights.append(np.full(len(rows), share / len(rows)))

        for source, rows in self.rows.items():
            if source in GENERATORS and source not in generators:
                continue
            share = 1 / len(generators) if source in GENERATORS else _SHARES[source] / people
            add(rows.learnt.astype(np.float32), source in GENERATORS, share)
        regenerated = [name for name in self.pairs if name != "photographs"]
        for name, paired in self.pairs.items():
            share = self.pair_share if name == "photographs" else self.pair_share / len(regenerated)
            add(paired.astype(np.float32), name != "photographs", share)
        return fit_machine(np.concatenate(features), np.concatenate(made), np.concatenate(weights))

    def _of(self, source: str, most: dict[Part, int]) -> Rows:
        file = self.folder / f"{source}.npz"
        if not file.exists():
            learnt, held, files = [], [], set()
            for number, sample in enumerate(track(list(samples(source, most)), source)):
                shown = edited(sample.pixels, EDITS[number % len(EDITS)], sample.name)
                mean = mean_features(self.tower, shown)
                if sample.part == Part.TRAIN or sample.made:
                    learnt.append(mean)
                if sample.part == Part.TUNE or sample.made:
                    held.append(mean)
                    files.add(sample.sha256)
            arrays = {"learnt": np.array(learnt, np.float16), "held": np.array(held, np.float16)}
            _keep(file, **arrays, files=np.array(len(files)))
        with np.load(file) as kept:
            return Rows(kept["learnt"], kept["held"], int(kept["files"]))

    def _of_pairs(self) -> dict[str, npt.NDArray[np.float16]]:
        file = self.folder / "pairs.npz"
        if not file.exists():
            nets = autoencoders()
            found: dict[str, list[F32]] = {name: [] for name in ("photographs", *nets)}
            for source in (source for source in ("flickr8k", "caltech101", "wesnoth") if source in self.rows):
                for sample in track(list(samples(source, {Part.TRAIN: _PAIRED})), f"pairs of {source}"):
                    for name in found:
                        pixels = sample.pixels
                        if name != "photographs":
                            pixels = with_one_history(nets[name](pixels), "", squeezed=True)
                        # The same edit and the same crop for both of a pair.
                        chance = chance_of(f"pair {sample.name}")
                        shown = levelled(edited(pixels, EDITS[int(chance.integers(len(EDITS)))], sample.name))
                        square = random_square(shown, chance, self.tower.side)
                        found[name].append(describe(self.tower, square[None])[0])
            _keep(file, **{name: np.array(rows, np.float16) for name, rows in found.items()})
        with np.load(file) as kept:
            return {name: kept[name] for name in kept.files}


def save(
    path: Path,
    tower: str,
    tower_sha256: str,
    lines: dict[str, Line],
    pictures: dict[str, int],
    measured: dict[str, dict[str, Any]],
    *,
    ship: bool,
) -> None:
    """Write lines as the detector reads them.

    Args:
        tower: name of the tower's model; ``tower_sha256`` is of its file.
        pictures: how many of each source were trained on.
        measured: what :func:`answers` gave of each generator by the line that never saw it.
        ship: call it the version that ships; any other has the digest of its numbers in its name.

    Raises:
        DataMissing: there are too few pictures to promise the errors that were asked for.
    """
    if not all(math.isfinite(line.ai_from) for line in lines.values()):
        raise DataMissing("There are too few pictures to calibrate on: PROVENANCE_DATA lacks some of them.")
    tensors = {
        "weights": np.stack([line.weights for line in lines.values()]),
        "offsets": np.array([line.offset for line in lines.values()], np.float32),
    }
    calibration = {
        name: {key: value for key, value in asdict(line).items() if key not in ("weights", "offset")}
        for name, line in lines.items()
    }
    numbers = b"".join(tensor.tobytes() for tensor in tensors.values()) + json.dumps(calibration).encode()
    about: dict[str, Any] = {
        "version": VERSION if ship else f"{MODEL} {hashlib.sha256(numbers).hexdigest()[:12]} on {tower}",
        "tower": tower,
        "tower_sha256": tower_sha256,
        "lines": list(lines),
        "generators": list(GENERATORS),
        "pictures": pictures,
        "errors": ERRORS,
        "measured": measured,
        "calibration": calibration,
    }
    save_file(tensors, path, {"about": json.dumps(about)})


def work_folder(text: str) -> Path:
    """Return the folder that a command names, made where it is not there; for argparse, which says what is wrong."""
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        words = f"{text} cannot be made: {problem.strerror}. Name a folder that you may write to."
        raise argparse.ArgumentTypeError(words) from problem
    return Path(text)


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=work_folder, help="folder for features, outside the repository")
    parser.add_argument("--tower", default=SHIPPED, choices=(SHIPPED, *TOWERS), help="name of a tower's model")
    parser.add_argument("--weights", type=Path, help="file of the tower, instead of that in the model store")
    parser.add_argument("--pair-share", type=float, default=0.0, help="weight of regenerated photographs in each class")
    parser.add_argument("--ship", action="store_true", help="write the shipped detector and its card")
    arguments = parser.parse_args()
    if arguments.ship and (arguments.tower != SHIPPED or arguments.weights):
        parser.error(f"what is shipped sees with {SHIPPED} as it is shipped")
    torch.set_num_threads(1)
    path = WEIGHTS / f"{MODEL}.safetensors" if arguments.ship else arguments.work / f"{arguments.tower}.safetensors"
    try:
        digest = digest_of(arguments.tower, arguments.weights)
        tower = tower_named(arguments.tower, arguments.weights)
        training = Training(arguments.work, tower, digest, arguments.pair_share)
        training.gather()
        lines = training.lines()
        save(path, arguments.tower, digest, lines, training.pictures, training.measured, ship=arguments.ship)
    except ModelCorrupt as problem:
        parser.error(f"{problem} Make it anew, or leave out --weights for the store's.")
    except (ModelError, DataMissing) as problem:
        parser.error(str(problem))
    print(f"written: {path}")
    if arguments.ship:
        (WEIGHTS / f"{MODEL}.md").write_text(_card(training, lines))
        write_sums()


def _keep(file: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays so that a file of this name is always whole."""
    part = file.with_name(f"{file.name}.part")
    with part.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)
    part.replace(file)


def _margins(weights: F32, offset: float, features: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    return np.asarray(features.astype(np.float32) @ weights + offset, np.float64)


def _card(training: Training, lines: dict[str, Line]) -> str:
    judge = lines["all"]
    rows = ['| left out | pictures | files | probably AI | wrongly "unlike" |', "|---|---|---|---|---|"]
    for name, found in training.measured.items():
        cells = [
            f"{100 * found[band]['share']:.1f} ({100 * found[band]['low']:.1f}-{100 * found[band]['high']:.1f}) %"
            for band in (Band.LIKELY_AI, Band.LIKELY_NOT_AI)
        ]
        rows.append(f"| {SOURCES[name]} | {found['pictures']} | {found['files']} | {' | '.join(cells)} |")
    return _CARD.format(
        numbers=(len(lines) * (training.tower.width + 1)),
        width=training.tower.width,
        side=training.tower.side,
        pictures=", ".join(f"{count:,} of {source}" for source, count in training.pictures.items()),
        slope=judge.slope,
        intercept=judge.intercept,
        ai_from=judge.ai_from,
        not_to=judge.not_to,
        measured="\n".join(rows),
        licence=LICENCE,
        **ERRORS,
    )


_CARD = """# ai-detector

What for: `ai-detector-v2`, how likely a picture was made by AI, with "cannot tell".

Architecture: linear support vector machines, {numbers:,} numbers in float32, over {width:,} features of the image tower
of `text-image` at {side} x {side}: one that judges, and one fitted without each generator, for measurements.

Data: Flickr8k (photographs; for research, not for commercial use; the rights to them are their owners'), Caltech-101
(CC BY 4.0), art of Battle for Wesnoth 1.16 (GPL-2 or later) and of Tux Paint's stamps, pictures made by Stable
Diffusion 1.5 (MIT) and GPT-4o (CC BY 4.0). Pictures:
{pictures}.
Of people's pictures the training part only, of AI's the training and tuning parts (`provenance/training/pictures.py`):
for generators there is no test but leaving one out. All are brought to one size, shape and compression first.
Learnt from are the mean features of each picture's squares after one edit, as it is judged. By people's pictures of the
tuning part and by each generator when left out it was decided so, AUC of Stable Diffusion 1.5 and of GPT-4o (judged by
whole squares alone, balanced accuracy at one half falls to .865 and .715 from .870 and .775, and GPT-4o is called
"unlike" nearly twice as often):

| learnt from | Stable Diffusion 1.5 | GPT-4o |
|---|---|---|
| means of squares, which ships | .946 | .847 |
| the same, judged by the whole squares alone | .963 | .851 |
| two random crops of each picture besides | .936 | .796 |
| those, and photographs through an autoencoder beside themselves (`--pair-share 0.15`) | .919 | .749 |
| means of squares, by the plain hinge of scikit-learn's LinearSVC, C = 0.001, its best | .937 | .854 |
| means of squares, features of the last depth alone | .931 | .842 |
| means of squares, each channel's deviation besides its mean | .945 | .858 |

Training:

    python -m provenance.training.detector WORK --ship

Calibration: of the probability on the machines without a generator, each on its own margins of that one's pictures and
of people's of the tuning part, so that no two machines' margins are held against each other; machines count alike. The
machine that judges takes their curve over; how right it is of a generator that was not trained on cannot be measured.
The threshold of "probably" is by its own margins of people's pictures of the tuning part, that of "unlike" by what the
machines without a generator say of that one's.
Probability: 1 / (1 + exp(-({slope:.4f} m + {intercept:.4f}))) of the margin m. From {ai_from:.3f} on "probably AI",
asked to be wrong of {photographs:.0%} of photographs and {drawings:.0%} of drawings like those of the calibration at
most; up to {not_to:.3f} "unlike the AI pictures it knows", with no promise for a generator that was not trained on; in
between "cannot tell".

Trained on all generators; tested by leaving each out, on its pictures of the training and tuning parts (95 % Wilson
intervals, as if each file were one picture):

{measured}

Figures: `make bench-detector`.

Limits: two generators, one of them old; what others make is often not told, and thumbnails are all it sees. No ground
for an accusation by itself.

Licence: {licence}
"""


if __name__ == "__main__":
    main()
