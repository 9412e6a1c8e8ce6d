"""Was it made by AI: the detector on pictures and generators that it has not seen, after the DinoHash paper's protocol.

    make bench-detector
    python -m benchmarks.detector --folder SYNTHBUSTER --real RAISE
    python -m benchmarks.detector --folder GENIMAGE

Each generator's pictures are judged by the machine that was fitted without that generator, beside people's pictures of
the test part; those of its own test part are reported alone too, for by the others edits and shares were chosen. Ends
with a status other than 0, after all is written, where traces of files and sizes tell AI's pictures by themselves
(``benchmarks.leaks``). With ``--detector`` the report is printed and not kept. The protocol (arXiv 2503.11195): a
random crop of 62.5 to 100 % of both sides, 200 x 200 bicubic, JPEG 85 to 100, through a file and the decoder. The
second form judges a folder of the user's own with the shipped detector and prints the paper's table: a folder a
generator, people's pictures in ``--real``, or beside them as GenImage has it (``ai`` and ``nature``).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Callable, Iterable
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

from benchmarks.detector_measures import F64, Bools, Numbers, goals, intervals, measures, pooled, right_at
from benchmarks.leaks import file_marks, leak_auc, stop_at_leak, traces
from benchmarks.recall import Cell
from benchmarks.results import QUICK, publish
from provenance.artwork.tiers import load_text_image
from provenance.detection.calibration import auc, balanced_accuracy, reliability
from provenance.detection.detector import Band, Detector, Line
from provenance.detection.sources import SOURCES
from provenance.detection.views import levelled
from provenance.images.decode import DecodeError, decode
from provenance.images.edits import PRESETS
from provenance.training.apgd import Attack, collide
from provenance.training.detector import edited, mean_features
from provenance.training.detector_pictures import (
    DRAWINGS,
    GENERATORS,
    PHOTOGRAPHS,
    RGB,
    Sample,
    native,
    present,
    samples,
    with_one_history,
)
from provenance.training.pictures import Part
from provenance.training.regenerated import autoencoders

# Pictures of a part: of people's the test part, of a generator all, for its judge has seen none. Of sd15 it is sheets.
MOST = {"flickr8k": 300, "caltech101": 200, "imagenet_sample": 250, "wesnoth": 250, "tuxpaint": 80}
MOST_MADE = {"sd15": 40, "gpt4o": 100}
CONDITIONS = {
    "jpeg": "JPEG 50 to 85",
    "screenshot": "screenshot",
    "plain": "nothing more done",
    "native": "files as the site gets them, without the common history",
}
HISTORY = (
    "Every picture, people's and AI's, was first squeezed out of its proportions to 224 x 224 and saved as JPEG 70, as "
    "one of the sources came; what is left of it is all that is measured here, where nothing else is said."
)
CONTENT = "What the pictures show differs between makers: part of what is told may be subjects, not generators."
LEAKS = {
    "file": "original files: sides, proportions, bytes, JPEG tables, metadata",
    "history": "traces in the pixels, with the common history",
    "levelled": "traces in the pixels that the net sees, after the protocol",
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
        _measure(detector, kept=not (arguments.detector or arguments.weights))


def _measure(detector: Detector, *, kept: bool) -> None:
    # Unpacking the packages takes half a minute.
    people = [source for source in (*PHOTOGRAPHS, *(() if QUICK else DRAWINGS)) if present(source)]
    generators = [name for name in GENERATORS if name in detector.lines and present(name)]
    if not people or not generators:
        raise SystemExit("PROVENANCE_DATA names a folder without photographs or without pictures made by AI.")
    most = {source: 10 if QUICK else count for source, count in {**MOST, **MOST_MADE}.items()}
    judged = {source: judge_source(detector, source, most[source]) for source in (*people, *generators)}
    lines = {name: detector.lines[name] for name in generators}
    margins = {
        name: {source: line.margins(judged[source].features) for source in (name, *people)}
        for name, line in lines.items()
    }
    of_test = {name: judged[name].of_test for name in generators}
    found = measures(lines, margins, people, of_test)
    files = {source: one.files for source, one in judged.items()}
    spans = intervals(lines, margins, people, of_test, files, BOOTSTRAPS)
    leaks = _leaks(judged)
    regenerated = _regenerated(detector, judged)
    figures = {
        **{
            key: round(found[key], 4)
            for key in (
                "auc",
                "worst_generator_auc",
                "balanced_accuracy_fixed",
                "balanced_accuracy_best",
                "ece",
                "coverage_at_99",
            )
        },
        # What the original files say is why they are given a common history; it is not given to the net.
        "leak_auc": round(max(leaks["history"], leaks["levelled"]), 4),
        "aligned_auc": round(float(np.mean([row["auc"] for row in regenerated.values()])), 4),
        "generators": len(generators),
        "pictures": sum(len(one.held) for one in judged.values()),
    }
    curve = pooled(lines, margins, people)
    conditions, native_bands = _conditions(detector, judged, people, generators)
    details = {
        "version": detector.version,
        "tower": detector.about["tower"],
        "history": HISTORY,
        "content": CONTENT,
        "goals": goals(found, spans, figures["leak_auc"]),
        "rows": [_generator_row(name, found, spans, margins[name], judged[name], people) for name in generators],
        "intervals": spans,
        "test_auc": "{:.3f} ({:.3f}-{:.3f})".format(found["test auc"], *spans["test auc"]),
        "answered": [found["answered"], found["answered right"]],
        "bands": _bands(detector, judged, people, generators),
        "native_bands": native_bands,
        "reliability": reliability(*curve),
        "coverage": [
            {"coverage": share, "accuracy": right_at(*curve, share)} for share in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
        ],
        "leaks": leaks,
        "conditions": conditions,
        "regenerated": regenerated,
        "attacks": _attacks(detector, judged, people, generators),
        "zero_shot": _zero_shot(judged, people, generators),
        "people": {source: len(judged[source].held) for source in people},
    }
    markdown = _markdown(detector, figures, details)
    if kept:
        publish("detector", title="Was it made by AI", markdown=markdown, figures=figures, details=details)
    else:
        print(markdown)
        print(json.dumps(figures), flush=True)
    # Of a few pictures it says nothing.
    if not QUICK:
        stop_at_leak(figures["leak_auc"])


def _leaks(judged: dict[str, Judged]) -> dict[str, float]:
    held = [sample for one in judged.values() for sample in one.held]
    made, files = np.array([sample.made for sample in held]), [sample.sha256 for sample in held]
    return {
        name: leak_auc(np.array([marks for one in judged.values() for marks in one.marks[name]]), made, files)
        for name in LEAKS
    }


def _generator_row(
    name: str,
    found: dict[str, float],
    spans: dict[str, tuple[float, float]],
    margins: dict[str, F64],
    judged: Judged,
    people: list[str],
) -> dict[str, Any]:
    def against(sources: Iterable[str]) -> float | None:
        real = [margins[source] for source in sources if source in people]
        return auc(margins[name], np.concatenate(real)) if real else None

    test = spans[f"{name} test auc"]
    return {
        "generator": name,
        "pictures": len(judged.held),
        "files": len(judged.files),
        "auc": found[f"{name} auc"],
        "low": spans[f"{name} auc"][0],
        "high": spans[f"{name} auc"][1],
        "test": {
            "pictures": int(judged.of_test.sum()),
            "auc": found[f"{name} test auc"],
            "low": test[0],
            "high": test[1],
            "fixed": found[f"{name} test fixed"],
        },
        **{
            key: found[f"{name} {key.replace('_', ' ')}"]
            for key in ("fixed", "best", "ece", "answered", "answered_right")
        },
        "by_people": {
            **{source: against([source]) for source in people},
            "photographs": against(PHOTOGRAPHS),
            "drawings": against(DRAWINGS),
        },
    }


def _bands(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> list[dict[str, Any]]:
    """Say what each line without a generator answers of that generator and of people's pictures, and what the one that
    judges answers of people's."""
    return [
        _band_row(detector.lines[name], name, source, judged[source].features, len(judged[source].files))
        for name, sources in _asked(people, generators).items()
        for source in sources
    ]


def _asked(people: list[str], generators: list[str]) -> dict[str, list[str]]:
    return {**{name: [name, *people] for name in generators}, "all": people}


def _band_row(
    line: Line, name: str, source: str, features: npt.NDArray[np.float32], files: int
) -> dict[str, Any]:
    """Return the shares of the bands, with Wilson intervals as wide as if there were one picture a file."""
    bands = [line.band(float(margin)) for margin in line.margins(features)]
    cells = {}
    for band in Band:
        share = bands.count(band) / len(bands)
        low, high = Cell(round(share * files), files).interval
        cells[str(band)] = f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"
    return {"line": name, "source": source, "pictures": len(bands), **cells}


def _conditions(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
    """Return the AUC of each generator under each condition, and what is answered of native files."""
    found: dict[str, dict[str, float]] = {}
    features: dict[str, npt.NDArray[np.float32]] = {}
    some = {source: _some(judged[source].held) for source in (*people, *generators)}
    for edit in CONDITIONS:
        for source, chosen in some.items():
            shown = (
                native(sample) if edit == "native" else edited(sample.pixels, edit, sample.name)
                for sample in track(chosen, f"{edit}: {source}", disable=QUICK)
            )
            features[source] = np.array([mean_features(detector.tower, pixels) for pixels in shown])
        real = np.concatenate([features[source] for source in people])
        found[edit] = {
            name: auc(detector.lines[name].margins(features[name]), detector.lines[name].margins(real))
            for name in generators
        }
    # The last condition is that of native files.
    bands = [
        _band_row(detector.lines[name], name, source, features[source], len({one.sha256 for one in some[source]}))
        for name, sources in _asked(people, generators).items()
        for source in sources
    ]
    return found, bands


def _some(held: list[Sample]) -> list[Sample]:
    step = max(1, len(held) // CONDITIONED)
    return held[::step][:CONDITIONED]


def _regenerated(detector: Detector, judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Judge photographs that went through an autoencoder beside the same photographs that did not."""
    line = detector.lines["all"]
    sample = judged["flickr8k"].held[:REGENERATED]
    found = {}

    def margins_of(name: str, net: Callable[[RGB], RGB]) -> F64:
        # Both of a pair are saved once more.
        pixels = [with_one_history(net(one.pixels), "", squeezed=True) for one in track(sample, name, disable=QUICK)]
        return line.margins(np.array([mean_features(detector.tower, one) for one in pixels]))

    before = margins_of("as they are", lambda pixels: pixels)
    for name, net in autoencoders().items():
        margins = margins_of(name, net)
        random = np.random.default_rng(0)
        drawn = [random.integers(len(sample), size=len(sample)) for _ in range(BOOTSTRAPS)]
        low, high = map(float, np.quantile([auc(margins[one], before[one]) for one in drawn], [0.025, 0.975]))
        likely = sum(line.band(float(margin)) == Band.LIKELY_AI for margin in margins)
        found[name] = {
            "auc": auc(margins, before),
            "low": low,
            "high": high,
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
    spans, rows = details["intervals"], details["rows"]
    names = [SOURCES[row["generator"]] for row in rows]
    people = list(details["people"])

    def span(value: float, low: float, high: float) -> str:
        return f"{value:.3f} ({low:.3f}-{high:.3f})"

    def table(head: list[str], lines: Iterable[list[str]]) -> str:
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))

    def each(row: dict[str, Any], key: str) -> str:
        return span(row[key], *spans[f"{row['generator']} {key.replace('_', ' ')}"])

    made = table(
        ["generator, left out", "pictures (files)", "AUC", "balanced accuracy at 0.5", "at the best threshold",
         "calibration error", "AUC, test part alone (pictures)"],
        [
            [SOURCES[row["generator"]], f"{row['pictures']} ({row['files']})", each(row, "auc"), each(row, "fixed"),
             each(row, "best"), each(row, "ece"),
             f"{span(row['test']['auc'], row['test']['low'], row['test']['high'])} ({row['test']['pictures']})"]
            for row in rows
        ],
    )  # fmt: skip
    kinds = {"photographs": "all photographs", "drawings": "all drawings"}
    against = table(
        ["AUC against", *names],
        [
            [kinds.get(source, SOURCES.get(source, source)), *(f"{row['by_people'][source]:.3f}" for row in rows)]
            for source in (*people, *kinds)
            if rows[0]["by_people"][source] is not None
        ],
    )
    conditions = [
        [words, *(f"{details['conditions'][edit][row['generator']]:.3f}" for row in rows)]
        for edit, words in CONDITIONS.items()
    ]
    zero = [f"{details['zero_shot'][row['generator']]:.3f}" for row in rows]
    conditions.append(["in words, without training, after the protocol", *zero])
    answered = table(
        ["generator, left out", "answered", "of that right"],
        [[SOURCES[row["generator"]], each(row, "answered"), each(row, "answered_right")] for row in rows],
    )
    regenerated = "; ".join(
        f"{name}: AUC {span(row['auc'], row['low'], row['high'])}, {row['likely_ai']} of {row['pictures']} called AI's"
        for name, row in details["regenerated"].items()
    )
    attacks = "; ".join(
        f"{name}: AUC {row['auc']:.3f}, balanced accuracy {row['accuracy']:.3f}"
        for name, row in details["attacks"].items()
    )
    absent = [SOURCES[source] for source in DRAWINGS if source not in people]
    left_out = f" Not at hand: {', '.join(absent)}." if absent else ""
    return f"""
**AUC {figures["auc"]:.3f} on generators that were left out; {figures["aligned_auc"]:.3f} where content is the same**
(photographs regenerated by an autoencoder, beside themselves). {HISTORY} {CONTENT}

{table(["goal", "measured", "reached"], [[g["goal"], g["measured"], "yes" if g["reached"] else "no"]
                                          for g in details["goals"]])}

{detector.version}, features of {details["tower"]}; {figures["pictures"]:,} pictures, {sum(details["people"].values())}
of them people's, of the test part. Every generator is judged by the machine that was not trained on it, after the
DinoHash paper's protocol (crop 62.5-100 %, 200 x 200, JPEG 85-100). Edits and shares of the training were chosen by its
pictures of the training and tuning parts; those of the test part, which nothing was chosen by, stand alone too: AUC
{details["test_auc"]}. Intervals are of 95 %, by bootstrap over files, for a sheet of Stable Diffusion has up to four
pictures.{left_out}

{made}

{against}

The paper's figures, AUC .913 and accuracy .780, are of Synthbuster, which is not among these pictures: they cannot be
compared one to one. `python -m benchmarks.detector --folder SYNTHBUSTER --real RAISE` makes its table.

**What is answered**, with each machine's own thresholds, per cent, Wilson intervals as if each file had one picture.
"Probably AI" of people's pictures is a false alarm, "unlike" of a generator's a miss.

{_bands_table(details["bands"])}

With as many made as not, of all: answered {span(details["answered"][0], *spans["answered"])}, of that right
{span(details["answered"][1], *spans["answered right"])}.

{answered}

The same of {CONDITIONED} files of each source **as the site gets them**, without the common history (of Flickr8k there
are no others):

{_bands_table(details["native_bands"])}

**Other conditions**, {CONDITIONED} pictures of each source, with the common history but for the native files; those
have the marks of their makers' sizes and formats, too:

{table(["AUC", *names], conditions)}

**Reliability** over the generators left out, as many made as not: expected calibration error
{span(figures["ece"], *spans["ece"])}.

{table(["said", "was", "share"], [[f"{row[key]:.2f}" for key in ("said", "was", "share")]
                                   for row in details["reliability"]])}

**Accuracy against coverage**, the surest first:

{table(["answered", "right"], [[f"{row['coverage']:.0%}", f"{row['accuracy']:.3f}"] for row in details["coverage"]])}

**Leaks**: AUC that a machine reaches on what ought to say nothing, judged on files it was not fitted to. The spectrum,
which is part of the traces, also has what a generator draws and what pictures show.

{table(["what it is given", "AUC"], [[words, f"{details['leaks'][name]:.3f}"] for name, words in LEAKS.items()])}

**Regenerated photographs** beside themselves (same content, size, crop and compression), by the machine that judges:
{regenerated}.

**Attacks** on the machine that judges (APGD, {ATTACK_ITERATIONS} iterations in pixels from 0 to 1, {ATTACKED} pictures
at what the net sees, with the common history, measured after rounding to 8 bits): {attacks}.
"""


def _bands_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| machine | pictures of | | probably AI | cannot tell | unlike the AI pictures it knows |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        line = "the one that judges" if row["line"] == "all" else f"without {SOURCES[row['line']]}"
        lines.append(
            f"| {line} | {SOURCES[row['source']]} | {row['pictures']} | {row['likely_ai']} | {row['cannot_tell']} |"
            f" {row['likely_not_ai']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
