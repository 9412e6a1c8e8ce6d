"""Measure pair verification, and make the model that gives its probability::

    python -m provenance.training.verification_rates fit WORK
    python -m provenance.training.verification_rates judge WORK

``fit`` takes edited copies of photographs of the tuning part and lays each over its source and over the ``STRANGERS``
registered pictures that the copy descriptor puts nearest to it: those are what a search hands to verification, same
scene and same subject first. It fits a logistic model to the two kinds and writes ``matching/curves/verify-v2.json``.
``judge`` does the same with photographs of the test part and writes into that file what the model makes of them; beside
them of pairs of different photographs in one frame (:mod:`provenance.training.frames`), which no search need find.

Pairs of files that show one picture are no strangers: :data:`SAME_PICTURE` names those that were looked at. Pairs go to
``WORK/verify-v2-<part>.jsonl``, one line a query; a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import expit

from provenance.hashing.descriptor import CROPS, DESCRIPTOR
from provenance.images.decode import decode
from provenance.images.edits import DINOHASH_STACKS, SITE, THORN, apply
from provenance.matching.verify import (
    FIGURES,
    MOST_STRETCH,
    VERSION,
    Described,
    PairKind,
    PairModel,
    described,
    figures_of,
    model_from,
    overlays,
)
from provenance.training.frames import in_one_frame
from provenance.training.impostor_curves import CURVES
from provenance.training.pictures import Part, encoded_pictures, part_of

EDITS = tuple(dict.fromkeys((*DINOHASH_STACKS, *THORN, *SITE)))
ARCHIVES = ("flickr8k.tar", "caltech101.tar")
# Edits of one photograph: so many of them, drawn by its name. To judge, more photographs are worth more than edits.
EDITS_EACH = {Part.TUNE: 8, Part.TEST: 2}
STRANGERS = 4
# Photographs of a part among which strangers are looked for, spread over both archives. Those of the test part lie half
# a step further than when the limits of grey values and of frames were chosen: none of them was seen then.
REGISTERED = 1500
_FIRST = {Part.TUNE: 0.0, Part.TEST: 0.5}
# Files that show one photograph, by eye.
SAME_PICTURE = (frozenset({"images/2851198725_37b6027625.jpg", "images/3050606344_af711c726c.jpg"}),)
_RIDGE = 1e-4
# Selection and fit are repeated: which way of lying over each other counts depends on the model.
_ROUNDS = 5
# How far, in logarithms of odds, a match and the weaker answer must be beyond the calibration's likeliest stranger.
_VERIFIED_MARGIN, _PARTIAL_MARGIN = 3.5, 1.5
_LEAST_VERIFIED, _LEAST_PARTIAL = 0.95, 0.5
_BINS = 10

Pair = dict[str, Any]


class _State:
    files: list[tuple[str, bytes]]
    vectors: npt.NDArray[np.float32]


_STATE = _State()


def main() -> None:
    """Measure, then fit or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("fit", "judge"))
    parser.add_argument("work", type=Path, help="folder outside the repository")
    parser.add_argument("--queries", type=int, default=640, help="edited copies")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    part = Part.TUNE if chosen.part == "fit" else Part.TEST
    path = CURVES / f"{VERSION}.json"
    pairs = measured(part, chosen.queries, chosen.work, chosen.processes)
    if part == Part.TUNE:
        stored = fitted(pairs)
        # Until it is judged, nothing is known of its errors.
        stored |= {"held_out": _NOTHING, "fitted_on": judged(pairs, model_from(stored | {"held_out": _NOTHING}))}
    else:
        stored = json.loads(path.read_text())
        stored["held_out"] = judged(pairs, model_from(stored))
    path.write_text(json.dumps(stored, indent=1) + "\n")
    print(json.dumps(stored, indent=1))


def measured(part: Part, queries: int, work: Path, processes: int) -> list[Pair]:
    """Return every pair: ``kind`` (copy, stranger, twin, or framed), ``edit``, ``pair`` of names, and ``ways``: the
    figures of each way in which one lies in the other."""
    work.mkdir(parents=True, exist_ok=True)
    files = [
        entry for archive in ARCHIVES for entry in encoded_pictures(archive, held_out=True) if part_of(entry[0]) == part
    ]
    count = min(REGISTERED, len(files))
    _STATE.files = [files[int((row + _FIRST[part]) * len(files) / count)] for row in range(count)]
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    context = get_context("fork")
    cache = work / f"{DESCRIPTOR.algorithm}-{part}-{_FIRST[part]}-{count}.npy"
    if not cache.exists():
        with ProcessPoolExecutor(processes, context) as pool:
            rows = pool.map(_vectors, range(len(_STATE.files)), chunksize=16)
            vectors = np.stack(list(track(rows, total=len(_STATE.files), description="descriptors")))
        with NamedTemporaryFile(dir=work, delete=False) as unfinished:
            np.save(unfinished, vectors)
        Path(unfinished.name).replace(cache)
    _STATE.vectors = np.load(cache)
    path = work / f"{VERSION}-{part}.jsonl"
    done = {(line["query"], line["edit"]): line["pairs"] for line in _lines(path)}
    wanted = _queries(queries, EDITS_EACH[part])
    missing = [job for job in wanted if (_STATE.files[job[0]][0], job[1]) not in done]
    with ProcessPoolExecutor(processes, context) as pool, path.open("a") as out:
        for line in track(pool.map(_ask, missing, chunksize=4), total=len(missing), description="pairs"):
            out.write(json.dumps(line) + "\n")
            done[(line["query"], line["edit"])] = line["pairs"]
    pairs = [pair for source, edit in wanted for pair in done[(_STATE.files[source][0], edit)]]
    return [pair | {"ways": [way for way in pair["ways"] if _allowed(way)]} for pair in pairs]


def _allowed(way: list[float]) -> bool:
    """Say whether today's verification considers it: the limit may be narrower than when it was measured."""
    of_points, stretch = way[FIGURES.index("inliers")] > 0, way[FIGURES.index("stretch")]
    return of_points or stretch <= np.log(MOST_STRETCH)


def fitted(pairs: list[Pair]) -> dict[str, Any]:
    """Return the model as JSON: logistic, with both kinds of pairs weighing the same."""
    usable = [pair for pair in pairs if pair["ways"] and pair["kind"] in ("copy", "stranger")]
    copies = np.array([pair["kind"] == "copy" for pair in usable])
    ways = [np.array(pair["ways"]) for pair in usable]
    every = np.concatenate(ways)
    centre, scale = every.mean(0), every.std(0)
    # At first, of several ways, that under which shapes agree best.
    weights, offset = np.eye(len(FIGURES))[FIGURES.index("shapes")], 0.0
    balance = np.where(copies, 0.5 / copies.sum(), 0.5 / (~copies).sum())
    for _ in range(_ROUNDS):
        best = [each[np.argmax((each - centre) / scale @ weights)] for each in ways]
        weights, offset = _logistic((np.array(best) - centre) / scale, copies, balance)
    logits = np.array([((each - centre) / scale @ weights).max() + offset for each in ways])
    likeliest = float(logits[~copies].max())
    verified = max(_LEAST_VERIFIED, float(expit(likeliest + _VERIFIED_MARGIN)))
    partial = max(_LEAST_PARTIAL, float(expit(likeliest + _PARTIAL_MARGIN)))

    def named(values: npt.NDArray[np.float64]) -> dict[str, float]:
        return {name: round(float(value), 6) for name, value in zip(FIGURES, values, strict=True)}

    return {
        "version": VERSION,
        "command": f"python -m provenance.training.verification_rates fit WORK --queries {len(_by_query(pairs))}",
        "data": "tuning part of Flickr8k (re-encoded at 224x224) and Caltech 101",
        "centre": named(centre),
        "scale": named(scale),
        "weights": named(weights),
        "offset": round(offset, 6),
        "thresholds": {"verified": round(verified, 6), "partial": round(partial, 6)},
    }


_NOTHING = {
    "hard_pairs": 1,
    "false_verifications": 1,
    "genuine_pairs": 1,
    "genuine_verified": 0,
    "framed_pairs": 1,
    "framed_verified": 1,
    "framed_partial": 0,
}


def judged(pairs: list[Pair], model: PairModel) -> dict[str, Any]:
    """Return what the model makes of measured pairs: counts, names of what it takes for copies wrongly, recall for each
    edit, and the calibration."""
    known = [pair for pair in pairs if pair["kind"] in ("copy", "stranger")]
    framed = [_kind(model, pair["ways"]) for pair in pairs if pair["kind"] == "framed"]
    copies = np.array([pair["kind"] == "copy" for pair in known])
    found = np.array([max((model.probability(np.array(way)) for way in pair["ways"]), default=0.0) for pair in known])
    kinds = np.array([_kind(model, pair["ways"]) for pair in known])
    verified, partial = kinds == PairKind.VERIFIED, kinds == PairKind.PARTIAL
    balance = np.where(copies, 0.5 / max(1, copies.sum()), 0.5 / max(1, (~copies).sum()))
    bins = np.minimum((found * _BINS).astype(int), _BINS - 1)
    reliability, error = [], 0.0
    for each in range(_BINS):
        inside = bins == each
        weight = float(balance[inside].sum())
        if weight:
            said = float((balance * found)[inside].sum() / weight)
            true = float(balance[inside & copies].sum() / weight)
            error += weight * abs(said - true)
            reliability.append([round(said, 4), round(true, 4), int(inside.sum())])
    edits = np.array([pair["edit"] for pair in known])
    return {
        "queries": len(_by_query(pairs)),
        # Edits of a picture are no new pairs.
        "hard_pairs": len({tuple(known[row]["pair"]) for row in np.flatnonzero(~copies)}),
        "false_verifications": len({tuple(known[row]["pair"]) for row in np.flatnonzero(verified & ~copies)}),
        "wrongly_verified": [known[row]["pair"] for row in np.flatnonzero(verified & ~copies)],
        "hard_pairs_under_edits": int((~copies).sum()),
        "genuine_pairs": int(copies.sum()),
        "genuine_verified": int((verified & copies).sum()),
        "genuine_partial": int((copies & partial).sum()),
        "strangers_partial": int((~copies & partial).sum()),
        "verified_by_edit": {
            edit: [int((verified & copies & (edits == edit)).sum()), int((copies & (edits == edit)).sum())]
            for edit in EDITS
        },
        "framed_pairs": len(framed),
        "framed_verified": framed.count(PairKind.VERIFIED),
        "framed_partial": framed.count(PairKind.PARTIAL),
        "calibration_error": round(error, 5),
        "reliability": reliability,
        "twins_left_out": sorted({tuple(sorted(pair["pair"])) for pair in pairs if pair["kind"] == "twin"}),
    }


def _kind(model: PairModel, ways: list[list[float]]) -> PairKind:
    kinds = {model.kind(np.array(way)) for way in ways}
    return next((kind for kind in (PairKind.VERIFIED, PairKind.PARTIAL) if kind in kinds), PairKind.REJECTED)


def _by_query(pairs: list[Pair]) -> set[tuple[str, str]]:
    return {(pair["pair"][0], pair["edit"]) for pair in pairs}


def _logistic(
    x: npt.NDArray[np.float64], copies: npt.NDArray[np.bool_], balance: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], float]:
    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights, offset = values[:-1], values[-1]
        logits = x @ weights + offset
        wrong = balance * (expit(logits) - copies)
        gradient = np.append(x.T @ wrong + 2 * _RIDGE * weights, wrong.sum())
        value = balance @ (np.logaddexp(0, logits) - logits * copies) + _RIDGE * weights @ weights
        return float(value), gradient

    # Nothing that speaks for a copy may count against one.
    bounds = [(None, 0.0) if name == "stretch" else (0.0, None) for name in FIGURES]
    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, bounds=[*bounds, (None, None)]).x
    return found[:-1], float(found[-1])


def _queries(count: int, each: int) -> list[tuple[int, str]]:
    """Return (row, edit), spread over the pictures; which edits a picture has goes by its name."""
    pictures = min(len(_STATE.files), -(-count // each))
    jobs = []
    for number in range(pictures):
        row = int(number * len(_STATE.files) / pictures)
        seed = int.from_bytes(hashlib.sha256(_STATE.files[row][0].encode()).digest()[2:6], "big")
        jobs += [(row, str(edit)) for edit in np.random.default_rng(seed).permutation(EDITS)[:each]]
    return jobs[:count]


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read what was measured, and cut off a line that a killed run left unfinished."""
    whole = path.read_bytes() if path.exists() else b""
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        path.write_bytes(kept)
    return [json.loads(line) for line in kept.splitlines()]


def _vectors(row: int) -> npt.NDArray[np.float32]:
    vectors = DESCRIPTOR.describe_crops(decode(_STATE.files[row][1]).pixels)
    return np.zeros((len(CROPS), DESCRIPTOR.width), np.float32) if vectors is None else vectors


def _ask(job: tuple[int, str]) -> dict[str, Any]:
    source, edit = job
    name, data = _STATE.files[source]
    pixels = decode(data).pixels
    copy = apply(edit, pixels, source)
    plain, edited = described(pixels), described(copy)
    pairs = [{"kind": "copy", "edit": edit, "pair": [name, name], "ways": _ways(edited, plain)}]
    vectors = DESCRIPTOR.describe_query(copy)
    if vectors is not None:
        pictures: list[npt.NDArray[np.uint8]] = []
        likeness = np.einsum("qd,ncd->nqc", vectors, _STATE.vectors).max((1, 2))
        likeness[source] = -1
        for row in np.argsort(-likeness)[:STRANGERS]:
            other_name, other_data = _STATE.files[row]
            pictures.append(decode(other_data).pixels)
            same = frozenset({name, other_name}) in SAME_PICTURE
            pairs.append(
                {
                    "kind": "twin" if same else "stranger",
                    "edit": edit,
                    "pair": [name, other_name],
                    "ways": _ways(edited, described(pictures[-1])),
                }
            )
        one, other = (described(framed) for framed in in_one_frame([pixels, pictures[0]], pictures[1], source))
        pairs.append({"kind": "framed", "edit": edit, "pair": pairs[1]["pair"], "ways": _ways(one, other)})
    return {"query": name, "edit": edit, "pairs": pairs}


def _ways(query: Described, reference: Described) -> list[list[float]]:
    return [np.round(figures_of(way), 5).tolist() for way in overlays(query, reference)]


if __name__ == "__main__":
    main()
