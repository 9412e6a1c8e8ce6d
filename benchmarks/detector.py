"""Was it made by AI: the detector on pictures and generators that it has not seen, after the DinoHash paper's protocol.

    make bench-detector
    python -m benchmarks.detector --folder SYNTHBUSTER --real RAISE
    python -m benchmarks.detector --folder GENIMAGE

Each generator's pictures are judged by the machine that was fitted without that generator, beside people's pictures of
the test part. The protocol (arXiv 2503.11195): a random crop of 62.5 to 100 % of both sides, 200 x 200 bicubic, JPEG 85
to 100, through a file and the decoder. The second form judges a folder of the user's own with the shipped detector and
prints the paper's table: a folder a generator, people's pictures in ``--real``, or beside them as GenImage has it
(``ai`` and ``nature``).
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import PCG64, Generator
from PIL import Image
from rich.progress import track
from torch import Tensor

from benchmarks.recall import Cell
from benchmarks.results import QUICK, publish
from provenance.artwork.tiers import load_text_image
from provenance.detection.calibration import (
    auc,
    balanced_accuracy,
    best_balanced_accuracy,
    coverage_at,
    coverage_curve,
    expected_calibration_error,
    reliability,
)
from provenance.detection.detector import Band, Detector, Line
from provenance.detection.sources import SOURCES
from provenance.detection.views import levelled
from provenance.images.decode import DecodeError, decode
from provenance.images.edits import PRESETS
from provenance.training.apgd import Attack, collide
from provenance.training.detector import edited, fit_machine, mean_features
from provenance.training.detector_pictures import (
    DRAWINGS,
    GENERATORS,
    PHOTOGRAPHS,
    RGB,
    Sample,
    present,
    samples,
    with_one_history,
)
from provenance.training.pictures import Part
from provenance.training.regenerated import autoencoders

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Pictures of a part: of people's the test part, of a generator all, for its judge has seen none. Of sd15 it is sheets.
MOST = {"flickr8k": 300, "caltech101": 200, "imagenet_sample": 250, "wesnoth": 250, "tuxpaint": 80}
MOST_MADE = {"sd15": 40, "gpt4o": 100}
CONDITIONS = {
    "jpeg": "JPEG 50 to 85",
    "screenshot": "screenshot",
    "plain": "nothing done",
}
# Pictures of each source under the other conditions; in attacks; among what autoencoders give back.
CONDITIONED, ATTACKED, ATTACK_ITERATIONS, REGENERATED = (3, 2, 3, 2) if QUICK else (60, 24, 100, 30)
BOOTSTRAPS = 50 if QUICK else 500
PUBLISHED_TABLE = """| as published, Synthbuster and RAISE-1k | DALL-E 2 | DALL-E 3 | Firefly | Midjourney v5 | mean |
|---|---|---|---|---|---|
| Cozzolino et al. | .706/.612 | .794/.639 | .766/.635 | .698/.602 | .741/.622 |
| Corvi et al. | .689/.502 | .287/.500 | .574/.501 | .481/.500 | .508/.501 |
| frozen DFN ViT-H 378 | .767/.584 | .999/.980 | .936/.754 | .949/.804 | .913/.780 |
| frozen SigLIP 384 | .731/.600 | .997/.972 | .924/.742 | .926/.772 | .895/.771 |"""
_PROMPTS = ("a photograph", "a digital painting made by a computer")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_REAL, _MADE = "nature", "ai"


@dataclass(frozen=True, eq=False)
class Judged:
    """One source's pictures under the protocol: what the detector takes of them, and what their files say."""

    names: list[str]
    features: npt.NDArray[np.float32]
    marks: list[list[float]]
    held: list[Sample]


def protocol_file(pixels: RGB, name: str) -> bytes:
    """Return a picture after the paper's protocol, as the file that it would be."""
    chance = Generator(PCG64(int.from_bytes(hashlib.sha256(f"protocol {name}".encode()).digest()[:7], "big")))
    crop, resize, _jpeg = PRESETS["detector"].steps
    small = resize(crop(pixels, chance), chance)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=int(chance.integers(85, 101)))
    return buffer.getvalue()


def marks_of(data: bytes) -> list[float]:
    """Return what a file says without its pixels: sides, proportions, JPEG tables, subsampling, metadata."""
    with Image.open(io.BytesIO(data)) as image:
        tables: dict[int, list[int]] = getattr(image, "quantization", None) or {}
        sums = [float(sum(tables.get(number, [0]))) for number in (0, 1)]
        layers = getattr(image, "layer", None) or [(0, 0, 0, 0)]
        marks = [image.width, image.height, image.width / image.height, *sums, layers[0][1], layers[0][2]]
        return [*map(float, marks), float(len(image.getexif())), float("icc_profile" in image.info)]


def judge_source(detector: Detector, source: str, most: int) -> Judged:
    """Take features and marks of a source's test pictures, of a generator's of all parts."""
    made = source in GENERATORS
    wanted = dict.fromkeys(Part, most) if made else {Part.TEST: most}
    held = list(samples(source, wanted))
    if QUICK:
        held = held[:most]
    features, marks = [], []
    for sample in track(held, source, disable=QUICK):
        data = protocol_file(sample.pixels, sample.name)
        marks.append([*marks_of(data), float(len(data))])
        features.append(mean_features(detector.tower, decode(data).pixels))
    return Judged([sample.name for sample in held], np.array(features), marks, held)


def interval(made: F64, other: F64) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the AUC, pictures drawn anew of both kinds."""
    random = np.random.default_rng(0)
    found = [
        auc(random.choice(made, len(made)), random.choice(other, len(other))) for _ in range(BOOTSTRAPS)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def leak(marks: F64, made: Bools) -> float:
    """Return the AUC that a machine on such marks reaches by cross-validation over five folds."""
    fold = np.arange(len(marks)) % 5
    order = np.random.default_rng(0).permutation(len(marks))
    marks, made = marks[order].astype(np.float32), made[order]
    scores = np.zeros(len(marks))
    for held in range(5):
        seen = fold != held
        counts = np.where(made[seen], 1 / made[seen].sum(), 1 / (~made[seen]).sum())
        line, offset = fit_machine(marks[seen], made[seen], counts)
        scores[~seen] = marks[~seen] @ line + offset
    return auc(scores[made], scores[~made])


def main() -> None:
    """Run the benchmark, or judge a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a folder of generators' folders")
    parser.add_argument("--real", type=Path, help="people's pictures, where they are not beside each generator's")
    parser.add_argument("--detector", type=Path, help="a file of provenance.training.detector; by default the shipped")
    parser.add_argument("--weights", type=Path, help="the tower that it was fitted on, where that was fine-tuned")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detector = Detector(arguments.detector, arguments.weights)
    if arguments.folder:
        print(folder_table(detector, arguments.folder, arguments.real))
    else:
        _measure(detector)


def _measure(detector: Detector) -> None:
    # Unpacking the packages takes half a minute.
    people = [source for source in (*PHOTOGRAPHS, *(() if QUICK else DRAWINGS)) if present(source)]
    generators = [name for name in GENERATORS if name in detector.lines and present(name)]
    most = {source: 10 if QUICK else count for source, count in {**MOST, **MOST_MADE}.items()}
    judged = {source: judge_source(detector, source, most[source]) for source in (*people, *generators)}
    real = np.concatenate([judged[source].features for source in people])
    rows, said, was, weight = [], [], [], []
    for name in generators:
        line = detector.lines[name]
        made_margins, real_margins = line.margins(judged[name].features), line.margins(real)
        rows.append(_generator_row(name, line, judged, people, made_margins, real_margins))
        margins = np.concatenate([made_margins, real_margins])
        said.append(line.probability(margins))
        was.append(np.arange(len(margins)) < len(made_margins))
        weight.append(np.where(was[-1], 0.5 / len(made_margins), 0.5 / len(real_margins)))
    probabilities, made, weights = np.concatenate(said), np.concatenate(was), np.concatenate(weight)
    curve = coverage_curve(probabilities, made, weights)
    marks = np.array([mark for source in (*people, *generators) for mark in judged[source].marks])
    is_made = np.array([source in GENERATORS for source in (*people, *generators) for _ in judged[source].marks])
    count = len(marks)
    figures = {
        "auc": round(float(np.mean([row["auc"] for row in rows])), 4),
        "worst_generator_auc": round(min(row["auc"] for row in rows), 4),
        "balanced_accuracy_fixed": round(float(np.mean([row["fixed"] for row in rows])), 4),
        "balanced_accuracy_best": round(float(np.mean([row["best"] for row in rows])), 4),
        "ece": round(expected_calibration_error(probabilities, made, weights), 4),
        "coverage_at_99": round(coverage_at(probabilities, made, weights, 0.99), 4),
        "leak_auc": round(leak(marks[:, :-1], is_made), 4),
        "generators": len(generators),
        "pictures": count,
    }
    bands = _bands(detector, judged, people, generators)
    details = {
        "version": detector.version,
        "tower": detector.about["tower"],
        "rows": rows,
        "bands": bands,
        "reliability": reliability(probabilities, made, weights),
        "coverage": [
            {"coverage": share, "accuracy": float(curve[1][curve[0] <= share + 1e-9][-1])}
            for share in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
        ],
        "leak_with_bytes": leak(marks, is_made),
        "conditions": _conditions(detector, judged, people, generators),
        "regenerated": _regenerated(detector, judged),
        "attacks": _attacks(detector, judged, people, generators),
        "zero_shot": _zero_shot(judged, people, generators),
        "people": {source: len(judged[source].names) for source in people},
    }
    markdown = _markdown(detector, figures, details)
    publish("detector", title="Was it made by AI", markdown=markdown, figures=figures, details=details)


def _generator_row(
    name: str, line: Line, judged: dict[str, Judged], people: list[str], made: F64, real: F64
) -> dict[str, Any]:
    fixed = -line.intercept / line.slope
    low, high = interval(made, real)
    return {
        "generator": name,
        "pictures": len(made),
        "auc": auc(made, real),
        "low": low,
        "high": high,
        "fixed": balanced_accuracy(made, real, fixed),
        "best": best_balanced_accuracy(made, real),
        "by_people": {source: auc(made, line.margins(judged[source].features)) for source in people},
    }


def _bands(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> list[dict[str, Any]]:
    rows = []
    for source in (*people, *generators):
        line = detector.lines[source if source in generators else "all"]
        bands = [line.band(float(margin)) for margin in line.margins(judged[source].features)]
        cells = {str(band): Cell(bands.count(band), len(bands)).text for band in Band}
        rows.append({"source": source, "pictures": len(bands), **cells})
    return rows


def _conditions(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for edit in CONDITIONS:
        features = {
            source: np.array(
                [
                    mean_features(detector.tower, edited(sample.pixels, edit, sample.name))
                    for sample in track(_some(judged[source].held), f"{edit}: {source}", disable=QUICK)
                ]
            )
            for source in (*people, *generators)
        }
        real = np.concatenate([features[source] for source in people])
        found[edit] = {
            name: auc(detector.lines[name].margins(features[name]), detector.lines[name].margins(real))
            for name in generators
        }
    return found


def _some(held: list[Sample]) -> list[Sample]:
    step = max(1, len(held) // CONDITIONED)
    return held[::step][:CONDITIONED]


def _regenerated(detector: Detector, judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Judge photographs that went through an autoencoder beside the same photographs that did not."""
    line = detector.lines["all"]
    sample = judged["flickr8k"].held[:REGENERATED]
    before = np.array([mean_features(detector.tower, one.pixels) for one in sample])
    found = {}
    for name, net in autoencoders().items():
        pixels = [with_one_history(net(one.pixels), "", squeezed=True) for one in track(sample, name, disable=QUICK)]
        margins = line.margins(np.array([mean_features(detector.tower, one) for one in pixels]))
        likely = sum(line.band(float(margin)) == Band.LIKELY_AI for margin in margins)
        found[name] = {
            "auc": auc(margins, line.margins(before)),
            "likely_ai": likely,
            "pictures": len(margins),
        }
    return found


def _attacks(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> dict[str, dict[str, float]]:
    """Attack what the net sees, a whole picture after levelling, in pixels from 0 to 1, towards the other class: APGD
    on the margin of each picture, the best iterate kept, measured after rounding to 8 bits."""
    line, tower = detector.lines["all"], detector.tower
    half = ATTACKED // 2
    chosen = [
        *[sample for source in people for sample in judged[source].held[: -(-half // len(people))]][:half],
        *[
            sample
            for name in generators
            for sample in [one for one in judged[name].held if one.part == Part.TEST][: -(-half // len(generators))]
        ][:half],
    ]
    made = torch.tensor([sample.made for sample in chosen])
    side = tower.side
    squares = [np.asarray(Image.fromarray(levelled(one.pixels)).resize((side, side))) for one in chosen]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    weights = torch.from_numpy(line.weights)

    def margin(x: Tensor) -> Tensor:
        return (tower(x) @ weights + line.offset)[:, None]

    def measured(x: Tensor) -> dict[str, float]:
        with torch.no_grad():
            scores = margin(x.float() / 255)[:, 0].double().numpy()
        is_made = made.numpy()
        return {
            "auc": auc(scores[is_made], scores[~is_made]),
            "accuracy": balanced_accuracy(scores[is_made], scores[~is_made], -line.intercept / line.slope),
        }

    found = {"clean": measured(pixels)}
    for levels in (4, 8):
        attack = Attack(eps=levels / 255, iterations=ATTACK_ITERATIONS, scale=1.0)
        found[f"{levels}/255"] = measured(collide(margin, pixels, ~made[:, None], attack).pixels)
    return found


def _zero_shot(judged: dict[str, Judged], people: list[str], generators: list[str]) -> dict[str, float]:
    """Ask the shipped text-image model in words instead, as the paper's ablation does; AUC of each generator."""
    image, text = load_text_image()
    with torch.no_grad():
        words = torch.nn.functional.normalize(text(*text.tokens(list(_PROMPTS))))
        scores = {}
        for source in (*people, *generators):
            small = [decode(protocol_file(one.pixels, one.name)).pixels for one in _some(judged[source].held)]
            squares = np.stack([np.asarray(Image.fromarray(one).resize((96, 96))) for one in small])
            x = (torch.from_numpy(squares).permute(0, 3, 1, 2).float() - 127) / 128
            likeness = torch.nn.functional.normalize(image(x)) @ words.T
            scores[source] = (likeness[:, 1] - likeness[:, 0]).double().numpy()
    real = np.concatenate([scores[source] for source in people])
    return {name: auc(scores[name], real) for name in generators}


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

    shared = margins(_pictures(real), "people's pictures") if real else None
    head, cells, found = [], [], []
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and path != real):
        below = {path.name: path for path in place.rglob("*") if path.is_dir() and path.name in (_REAL, _MADE)}
        if shared is None and _REAL not in below:
            raise SystemExit(f"{place} has no folder {_REAL!r}. Name the folder of people's pictures with --real.")
        made = margins(_pictures(below.get(_MADE, place)), place.name)
        other = shared if shared is not None else margins(_pictures(below[_REAL]), f"{place.name}, {_REAL}")
        found.append((auc(made, other), balanced_accuracy(made, other, fixed)))
        head.append(place.name)
        cells.append(f"{found[-1][0]:.3f}/{found[-1][1]:.3f}")
    if not found:
        raise SystemExit(f"{folder} has no folders of generators.")
    mean = "/".join(f"{value:.3f}" for value in np.mean(found, axis=0))
    lines = [["model, AUC/accuracy", *head, "mean"], ["---"] * (len(head) + 2), [detector.version, *cells, mean]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{PUBLISHED_TABLE}"


def _pictures(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in _SUFFIXES]


def _markdown(detector: Detector, figures: dict[str, Any], details: dict[str, Any]) -> str:
    table = ["| generator, never seen | pictures | AUC | balanced accuracy at 0.5 | at the best threshold |"]
    table.append("|---|---|---|---|---|")
    for row in details["rows"]:
        table.append(
            f"| {SOURCES[row['generator']]} | {row['pictures']} |"
            f" {row['auc']:.3f} ({row['low']:.3f}-{row['high']:.3f}) | {row['fixed']:.3f} | {row['best']:.3f} |"
        )
    people = list(details["people"])
    against = [f"| AUC against | {' | '.join(SOURCES[row['generator']] for row in details['rows'])} |"]
    against.append("|---|" + "---|" * len(details["rows"]))
    for source in people:
        cells = [f"{row['by_people'][source]:.3f}" for row in details["rows"]]
        against.append(f"| {SOURCES[source]} | {' | '.join(cells)} |")
    bands = ["| pictures | | probably AI | cannot tell | probably not |", "|---|---|---|---|---|"]
    for row in details["bands"]:
        bands.append(
            f"| {SOURCES[row['source']]} | {row['pictures']} | {row['likely_ai']} | {row['cannot_tell']} |"
            f" {row['likely_not_ai']} |"
        )
    conditions = [f"| AUC | {' | '.join(SOURCES[row['generator']] for row in details['rows'])} |"]
    conditions.append("|---|" + "---|" * len(details["rows"]))
    for edit, words in CONDITIONS.items():
        cells = [f"{details['conditions'][edit][row['generator']]:.3f}" for row in details["rows"]]
        conditions.append(f"| {words} | {' | '.join(cells)} |")
    zero = [f"{details['zero_shot'][row['generator']]:.3f}" for row in details["rows"]]
    conditions.append(f"| in words, without training, after the protocol | {' | '.join(zero)} |")
    said = ["| said | was | share |", "|---|---|---|"]
    said += [f"| {row['said']:.2f} | {row['was']:.2f} | {row['share']:.2f} |" for row in details["reliability"]]
    covered = ["| answered | right |", "|---|---|"]
    covered += [f"| {row['coverage']:.0%} | {row['accuracy']:.3f} |" for row in details["coverage"]]
    regenerated = "; ".join(
        f"{name}: AUC {row['auc']:.3f}, {row['likely_ai']} of {row['pictures']} called AI's"
        for name, row in details["regenerated"].items()
    )
    attacks = "; ".join(
        f"{name}: AUC {row['auc']:.3f}, balanced accuracy {row['accuracy']:.3f}"
        for name, row in details["attacks"].items()
    )
    absent = [SOURCES[source] for source in DRAWINGS if source not in people]
    left_out = f" Not at hand: {', '.join(absent)}." if absent else ""
    newline = "\n"
    return f"""
{detector.version}, features of {details["tower"]}; {figures["pictures"]:,} pictures,
{sum(details["people"].values())} of them people's. Every generator is judged by the machine that never saw it, after
the DinoHash paper's protocol (crop 62.5-100 %, 200 x 200, JPEG 85-100). Intervals are of 95 %.{left_out}

{newline.join(table)}

{newline.join(against)}

The paper's figures, AUC .913 and accuracy .780, are of Synthbuster, which is not among these pictures: they cannot be
compared one to one. `python -m benchmarks.detector --folder SYNTHBUSTER --real RAISE` makes its table.

**What is answered**, with the thresholds that ship (people's pictures by the machine that ships, a generator's by that
without it), per cent:

{newline.join(bands)}

**Other conditions**, {CONDITIONED} pictures of each source:

{newline.join(conditions)}

**Reliability** over the unseen generators, as many made as not: expected calibration error {figures["ece"]:.3f}.

{newline.join(said)}

**Accuracy against coverage**, the surest first:

{newline.join(covered)}

**Leaks**: from sides, proportions, JPEG tables, subsampling and metadata of the files judged a machine tells AI's with
an AUC of {figures["leak_auc"]:.3f}; with the number of bytes, which says how much detail a picture has, of
{details["leak_with_bytes"]:.3f}.

**Regenerated photographs** beside themselves (same content, size, crop and compression): {regenerated}.

**Attacks** on the machine that ships (APGD, {ATTACK_ITERATIONS} iterations in pixels from 0 to 1, {ATTACKED} pictures
at what the net sees, measured after rounding to 8 bits): {attacks}.
"""


if __name__ == "__main__":
    main()
