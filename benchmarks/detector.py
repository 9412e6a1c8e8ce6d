"""Was it made by AI: the detector on pictures and generators that it has not seen, after the DinoHash paper's protocol.

    make bench-detector
    python -m benchmarks.detector --folder SYNTHBUSTER --real RAISE
    python -m benchmarks.detector --folder GENIMAGE

Each generator's pictures are judged by the machine that was fitted without that generator, beside people's pictures of
the test part; those of its own test part are reported alone too, for by the others edits and shares were chosen. Ends
with a status other than 0, after all is written, where traces of files and sizes tell AI's pictures by themselves
(``benchmarks.leaks``). With ``--detector`` the report is printed and not kept. Where ``PROVENANCE_FARE`` names its
folder, a detector whose tower was fine-tuned against attacks is attacked beside this one
(``benchmarks.detector_attacks``). The protocol (arXiv 2503.11195): a random crop of 62.5 to 100 % of both sides,
200 x 200 bicubic, JPEG 85 to 100, through a file and the decoder. The second form judges a folder of the user's own
with the shipped detector and prints the paper's table: a folder a generator, people's pictures in ``--real``, or beside
them as GenImage has it (``ai`` and ``nature``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.detector_attacks import attacked_squares, attacks, beside_fare, robust_detector
from benchmarks.detector_folder import folder_table
from benchmarks.detector_judged import LEAKS, Judged, judge_source
from benchmarks.detector_measures import F64, band_rows, goals, intervals, measures, pooled, right_at
from benchmarks.detector_report import CONTENT, HISTORY, section
from benchmarks.detector_trials import conditions, regenerated, zero_shot
from benchmarks.leaks import leak_auc, stop_at_leak
from benchmarks.results import QUICK, publish
from provenance.detection.calibration import auc, reliability
from provenance.detection.detector import Detector
from provenance.models.errors import ModelCorrupt, ModelError
from provenance.training.detector_pictures import DRAWINGS, GENERATORS, PHOTOGRAPHS, present
from provenance.training.pictures import DataMissing, data_folder

# Pictures of a part: of people's the test part, of a generator all, for its judge has seen none. Of sd15 it is sheets.
MOST = {"flickr8k": 300, "caltech101": 200, "imagenet_sample": 250, "wesnoth": 250, "tuxpaint": 80}
MOST_MADE = {"sd15": 40, "gpt4o": 100}
BOOTSTRAPS = 50 if QUICK else 500


def main() -> None:
    """Run the benchmark, or judge a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a folder of generators' folders")
    parser.add_argument("--real", type=Path, help="people's pictures, where they are not beside each generator's")
    parser.add_argument("--detector", type=Path, help="a file of provenance.training.detector; by default the shipped")
    parser.add_argument("--weights", type=Path, help="the tower that it was fitted on, where that was fine-tuned")
    arguments = parser.parse_args()
    if absent := [path for path in (arguments.folder, arguments.real) if path and not path.is_dir()]:
        parser.error(f"{absent[0]} is no folder of pictures.")
    if arguments.weights and not arguments.detector:
        parser.error("--weights goes with --detector: the shipped detector was fitted on the shipped tower.")
    torch.set_num_threads(1)
    detector = Detector(arguments.detector, arguments.weights)
    try:
        detector.load()
    except ModelCorrupt as problem:
        parser.error(f"{problem} Make it anew by provenance.training.detector, or leave it out for the shipped one.")
    except ModelError as problem:
        parser.error(str(problem))
    try:
        if arguments.folder:
            print(folder_table(detector, arguments.folder, arguments.real))
        else:
            _measure(detector, kept=not arguments.detector)
    except (ModelError, DataMissing) as problem:
        parser.error(str(problem))


def _measure(detector: Detector, *, kept: bool) -> None:
    # Unpacking the packages takes half a minute.
    people = [source for source in (*PHOTOGRAPHS, *(() if QUICK else DRAWINGS)) if present(source)]
    generators = [name for name in GENERATORS if name in detector.lines and present(name)]
    if not set(people) & set(PHOTOGRAPHS) or not generators:
        raise DataMissing(
            f"{data_folder()} is without photographs or without pictures made by AI. Set PROVENANCE_DATA to a folder "
            "with flickr8k.tar, caltech101.tar, ai_sd15.tar and ai_gpt4o.tar."
        )
    robust = robust_detector(detector.tower.name)
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
    again = regenerated(detector, judged)
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
        "aligned_auc": round(float(np.mean([row["auc"] for row in again.values()])), 4),
        "generators": len(generators),
        "pictures": sum(len(one.held) for one in judged.values()),
    }
    curve = pooled(lines, margins, people)
    by_condition, native_bands = conditions(detector, judged, people, generators)
    squares = attacked_squares(judged, people, generators, detector.tower.side)
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
        "bands": band_rows(
            detector.lines,
            {source: one.features for source, one in judged.items()},
            {source: len(one) for source, one in files.items()},
            people,
            generators,
        ),
        "native_bands": native_bands,
        "reliability": reliability(*curve),
        "coverage": [
            {"coverage": share, "accuracy": right_at(*curve, share)} for share in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
        ],
        "leaks": leaks,
        "conditions": by_condition,
        "regenerated": again,
        "attacks": attacks(detector, *squares),
        "fare": robust and beside_fare(detector, robust, judged, squares, people, generators),
        "zero_shot": zero_shot(judged, people, generators),
        "people": {source: len(judged[source].held) for source in people},
    }
    markdown = section(detector, figures, details)
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



if __name__ == "__main__":
    main()
