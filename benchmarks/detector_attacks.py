"""What attacks do to the detector, and to one whose tower was fine-tuned against them (FARE).

``PROVENANCE_FARE`` names the folder of the second, by default one in the user's cache; ``WORK`` in :data:`COMMANDS`,
which fill it. Both are attacked with the same pictures, each through its own gradients.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_path
from rich.progress import track
from torch import Tensor

from benchmarks.detector_judged import Judged, protocol_file
from benchmarks.detector_measures import F64, Bools
from benchmarks.detector_trials import spread
from benchmarks.results import QUICK
from provenance.detection.calibration import auc, balanced_accuracy
from provenance.detection.detector import F32, Detector, Line
from provenance.detection.tower import Tower
from provenance.detection.views import levelled
from provenance.images.decode import decode
from provenance.models.errors import ModelError
from provenance.training.apgd import Attack, collide
from provenance.training.detector import mean_features
from provenance.training.detector_robust import Recipe, deviations, pushed_apart, recipe_of
from provenance.training.pictures import Part

WORK = Path(os.environ.get("PROVENANCE_FARE") or user_cache_path("provenance") / "fare")
COMMANDS = (
    "python -m provenance.training.detector_robust WORK --steps 120 --batch 8 --iterations 4",
    "python -m provenance.training.detector WORK/robust --weights WORK/robust-text-image.safetensors",
)
ATTACKED, ATTACK_ITERATIONS, FEATURE_ITERATIONS = (2, 3, 3) if QUICK else (24, 100, 20)
LEVELS = (4, 8)
EPS = ("unattacked", *(f"{levels}/255" for levels in LEVELS))


def robust_detector(tower: str) -> tuple[Detector, Recipe] | None:
    """Return the detector on a tower after fine-tuning, and the numbers of that; None where there is none.

    Raises:
        SystemExit: a file is damaged, the two do not belong together, or one of those that ``PROVENANCE_FARE`` promises
            is not there; with what to do.
    """
    weights, fitted = WORK / f"robust-{tower}.safetensors", WORK / "robust" / f"{tower}.safetensors"
    absent = [str(file) for file in (weights, fitted) if not file.is_file()]
    if absent and os.environ.get("PROVENANCE_FARE"):
        raise SystemExit(f"There is no {' and no '.join(absent)}. Fill {WORK}, or unset PROVENANCE_FARE.")
    if absent:
        return None
    detector = Detector(fitted, weights)
    try:
        recipe = recipe_of(weights)
        detector.load()
    except ModelError as problem:
        commands = "\n".join(COMMANDS)
        raise SystemExit(
            f"{problem}\nName another folder in PROVENANCE_FARE, or empty {WORK} and fill it anew, WORK being it:\n"
            f"{commands}"
        ) from problem
    return detector, recipe


def attacked_squares(
    judged: dict[str, Judged], people: list[str], generators: list[str], side: int
) -> tuple[Tensor, Bools]:
    """Return what the net sees of some pictures after levelling, as many made as not, uint8 ``[N, 3, side, side]``, and
    which were made, ``[N]``; of the generators it is of the test part."""
    half = ATTACKED // 2
    chosen = [
        *[sample for source in people for sample in judged[source].held[: -(-half // len(people))]][:half],
        *[
            sample
            for name in generators
            for sample in [one for one in judged[name].held if one.part == Part.TEST][: -(-half // len(generators))]
        ][:half],
    ]
    squares = [np.asarray(Image.fromarray(levelled(one.pixels)).resize((side, side))) for one in chosen]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    return pixels, np.array([sample.made for sample in chosen])


def attacks(detector: Detector, pixels: Tensor, made: Bools) -> dict[str, dict[str, float]]:
    """Attack the machine that judges, in pixels from 0 to 1, towards the other class: APGD on the margin of each
    picture, the best iterate kept, measured after rounding to 8 bits.

    Args:
        pixels: uint8 ``[N, 3, S, S]``.
        made: ``[N]``, which were made by AI.

    Returns:
        At each of :data:`EPS` ``auc`` and balanced ``accuracy``, and ``moved``: how far margins went towards the other
        class, in distances between the classes' means unattacked; mean of the pictures.
    """
    line, tower = detector.lines["all"], detector.tower
    weights, towards = torch.from_numpy(line.weights), torch.from_numpy(~made)[:, None]

    def margin(x: Tensor) -> Tensor:
        return (tower(x) @ weights + line.offset)[:, None]

    def scores_of(x: Tensor) -> F64:
        with torch.no_grad():
            return np.asarray(margin(x.float() / 255)[:, 0], np.float64)

    before = scores_of(pixels)
    apart = before[made].mean() - before[~made].mean()

    def measured(x: Tensor) -> dict[str, float]:
        scores = scores_of(x)
        return {
            "auc": auc(scores[made], scores[~made]),
            "accuracy": balanced_accuracy(scores[made], scores[~made], -line.intercept / line.slope),
            "moved": float((np.where(made, before - scores, scores - before) / apart).mean()) if apart > 0 else np.nan,
        }

    found = {"unattacked": measured(pixels)}
    for levels in LEVELS:
        attack = Attack(eps=levels / 255, iterations=ATTACK_ITERATIONS, scale=1.0)
        found[f"{levels}/255"] = measured(collide(margin, pixels, towards, attack).pixels)
    return found


def feature_distances(tower: Tower, frozen: Tower, pixels: Tensor) -> dict[str, dict[str, float]]:
    """Attack what FARE trains, by projected gradient ascent, measured after rounding to 8 bits.

    Args:
        pixels: uint8 ``[N, 3, S, S]``.

    Returns:
        At each of :data:`EPS` ``distance``: of a tower's features from those that the frozen one gives for the clean
        pictures, squared, in its ``deviations`` over these, summed over the features, mean of the pictures; and
        ``of_ten``: how much of it is of the ten features that have most.
    """
    clean = pixels.float() / 255
    scale = deviations(frozen, clean)

    def seen(x: Tensor) -> Tensor:
        return tower(x) / scale

    def measured(x: Tensor) -> dict[str, float]:
        with torch.no_grad():
            by_feature = (seen(x) - wanted).square().mean(0)
        distance, ten = float(by_feature.sum()), float(by_feature.sort(descending=True).values[:10].sum())
        return {"distance": distance, "of_ten": ten / max(distance, 1e-12)}

    with torch.no_grad():
        wanted = frozen(clean) / scale
    found = {"unattacked": measured(clean)}
    for levels in LEVELS:
        recipe = Recipe(eps=levels / 255, stride=levels / 4 / 255, iterations=FEATURE_ITERATIONS)
        apart = pushed_apart(seen, clean, wanted, recipe, torch.Generator().manual_seed(0))
        # Eps is of whole levels: rounding does not leave the ball.
        found[f"{levels}/255"] = measured((apart * 255).round() / 255)
    return found


def beside_fare(
    detector: Detector,
    robust: tuple[Detector, Recipe],
    judged: dict[str, Judged],
    squares: tuple[Tensor, Bools],
    people: list[str],
    generators: list[str],
) -> dict[str, Any]:
    """Measure a fine-tuned tower's detector beside the frozen one's: under attacks, and on pictures left alone, after
    the protocol, each generator by the machine without it."""
    tuned, recipe = robust
    before, after = {}, {}
    for source in (*people, *generators):
        chosen = spread(len(judged[source].held))
        before[source] = judged[source].features[chosen]
        after[source] = np.array(
            [
                mean_features(tuned.tower, decode(protocol_file(sample.pixels, sample.name)).pixels)
                for sample in track(judged[source].held[chosen], f"FARE: {source}", disable=QUICK)
            ]
        )

    def left_out(lines: dict[str, Line], features: dict[str, F32]) -> dict[str, float]:
        real = np.concatenate([features[source] for source in people])
        return {name: auc(lines[name].margins(features[name]), lines[name].margins(real)) for name in generators}

    return {
        "steps": recipe.steps,
        "batch": recipe.batch,
        "iterations": recipe.iterations,
        "version": tuned.version,
        "pictures": sum(len(features) for features in after.values()),
        "left_out": {"frozen": left_out(detector.lines, before), "robust": left_out(tuned.lines, after)},
        "attacks": attacks(tuned, *squares),
        "distances": {
            "frozen": feature_distances(detector.tower, detector.tower, squares[0]),
            "robust": feature_distances(tuned.tower, detector.tower, squares[0]),
        },
    }
