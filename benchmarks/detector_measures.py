"""What ``benchmarks.detector`` measures of margins: each generator by the line without it, and all, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.leaks import MOST
from benchmarks.recall import Cell
from provenance.detection.calibration import (
    auc,
    balanced_accuracy,
    best_balanced_accuracy,
    coverage_at,
    coverage_curve,
    expected_calibration_error,
)
from provenance.detection.detector import Band, Line

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]
Margins = dict[str, dict[str, F64]]
"""By line, then by source."""


def measures(
    lines: dict[str, Line], margins: Margins, people: list[str], of_test: dict[str, Bools]
) -> dict[str, float]:
    """Measure each generator by the line without it, and all together; as many made as not count for shares.

    Args:
        margins: of each generator's line, of that generator and of people's pictures.
        of_test: of each generator, which pictures are of the test part.
    """
    found: dict[str, float] = {}
    answers = []
    for name, by_source in margins.items():
        line, made = lines[name], by_source[name]
        real = np.concatenate([by_source[source] for source in people])
        threshold = -line.intercept / line.slope
        probabilities, is_made, weights = pooled(lines, {name: by_source}, people)
        both = np.concatenate([made, real])
        # 1 right, 0 wrong, nan not answered.
        answer = np.where(both >= line.ai_from, is_made * 1.0, np.where(both <= line.not_to, ~is_made * 1.0, np.nan))
        test = made[of_test[name]]
        found |= {
            f"{name} auc": auc(made, real),
            f"{name} fixed": balanced_accuracy(made, real, threshold),
            f"{name} best": best_balanced_accuracy(made, real),
            f"{name} ece": expected_calibration_error(probabilities, is_made, weights),
            f"{name} test auc": auc(test, real),
            f"{name} test fixed": balanced_accuracy(test, real, threshold),
            **_answered(f"{name} ", answer, weights),
        }
        answers.append(answer)
    everything = pooled(lines, margins, people)
    fixed, best = (float(np.mean([found[f"{name} {what}"] for name in margins])) for what in ("fixed", "best"))
    return {
        **found,
        "auc": float(np.mean([found[f"{name} auc"] for name in margins])),
        "test auc": float(np.mean([found[f"{name} test auc"] for name in margins])),
        "worst_generator_auc": min(found[f"{name} auc"] for name in margins),
        "balanced_accuracy_fixed": fixed,
        "balanced_accuracy_best": best,
        "below best": best - fixed,
        "ece": expected_calibration_error(*everything),
        "coverage_at_99": coverage_at(*everything, 0.99),
        "right at 70": right_at(*everything, 0.7),
        **_answered("", np.concatenate(answers), everything[2]),
    }


def _answered(prefix: str, answer: F64, weights: F64) -> dict[str, float]:
    """Return the share that the shipped bands answer, and how much of that is right."""
    answered = ~np.isnan(answer)
    share = float(weights[answered].sum())
    right = float((weights * answer)[answered].sum()) / share if share else float("nan")
    return {f"{prefix}answered": share / float(weights.sum()), f"{prefix}answered right": right}


def right_at(said: F64, made: Bools, weights: F64, share: float) -> float:
    """Return how much is right of the surest pictures, up to that share of them."""
    coverage, right = coverage_curve(said, made, weights)
    return float(right[coverage <= share + 1e-9][-1])


def intervals(
    lines: dict[str, Line],
    margins: Margins,
    people: list[str],
    of_test: dict[str, Bools],
    files: dict[str, list[Numbers]],
    draws: int,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % bootstrap intervals of :func:`measures`, the files of every source drawn anew.

    Args:
        files: of each source and file the numbers of its pictures.
        draws: how often they are drawn.
    """
    random = np.random.default_rng(0)
    found: list[dict[str, float]] = []
    for _ in range(draws):
        drawn = {
            source: np.concatenate([groups[number] for number in random.integers(len(groups), size=len(groups))])
            for source, groups in files.items()
        }
        again = {
            name: {source: all_of[drawn[source]] for source, all_of in by_source.items()}
            for name, by_source in margins.items()
        }
        found.append(measures(lines, again, people, {name: of_test[name][drawn[name]] for name in margins}))
    return {
        key: (float(low), float(high))
        for key in found[0]
        for low, high in [np.nanquantile([one[key] for one in found], [0.025, 0.975])]
    }


def pooled(lines: dict[str, Line], margins: Margins, people: list[str]) -> tuple[F64, Bools, F64]:
    """Return of all generators by the lines without them: what was said, what was, and how much each counts."""
    said, was, weight = [], [], []
    for name, by_source in margins.items():
        real = np.concatenate([by_source[source] for source in people])
        made = by_source[name]
        said.append(lines[name].probability(np.concatenate([made, real])))
        was.append(np.arange(len(made) + len(real)) < len(made))
        weight.append(np.where(was[-1], 0.5 / len(made), 0.5 / len(real)))
    return np.concatenate(said), np.concatenate(was), np.concatenate(weight)


def band_rows(
    lines: dict[str, Line],
    features: dict[str, npt.NDArray[np.float32]],
    files: dict[str, int],
    people: list[str],
    generators: list[str],
) -> list[dict[str, Any]]:
    """Say what each line without a generator answers of that generator and of people's pictures, and what the one that
    judges answers of people's: per cent in each band, with Wilson intervals as wide as if each file had one picture.

    Args:
        features: of each source, ``[N, width]``.
        files: of each source, how many there are.
    """
    rows = []
    for name, sources in {**{name: [name, *people] for name in generators}, "all": people}.items():
        for source in sources:
            bands = [lines[name].band(float(margin)) for margin in lines[name].margins(features[source])]
            cells = {}
            for band in Band:
                share = bands.count(band) / len(bands)
                low, high = Cell(round(share * files[source]), files[source]).interval
                cells[str(band)] = f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"
            rows.append({"line": name, "source": source, "pictures": len(bands), **cells})
    return rows


def goals(
    found: dict[str, float], spans: dict[str, tuple[float, float]], leaked: float
) -> list[dict[str, Any]]:
    """Return what was aimed at, what was measured, and whether that is enough."""

    def text(key: str) -> str:
        return f"{found[key]:.3f} ({spans[key][0]:.3f}-{spans[key][1]:.3f})"

    short, (low, high) = 100 * found["below best"], (100 * end for end in spans["below best"])
    return [
        {
            "goal": "AUC of unseen generators at least .95",
            "measured": f"{text('auc')}; the worst {text('worst_generator_auc')}",
            "reached": found["worst_generator_auc"] >= 0.95,
        },
        {
            "goal": "balanced accuracy at one half within 1 point of the best threshold",
            "measured": f"{text('balanced_accuracy_fixed')}; {short:.1f} points below ({low:.1f}-{high:.1f})",
            "reached": short <= 1,
        },
        {
            "goal": "expected calibration error at most .03",
            "measured": text("ece"),
            "reached": found["ece"] <= 0.03,
        },
        {
            "goal": "99 % right of at least 70 % of the pictures",
            "measured": f"{text('right at 70')} right of 70 %; 99 % right of {text('coverage_at_99')} of them",
            "reached": found["coverage_at_99"] >= 0.7,
        },
        {
            "goal": f"AUC of traces of files and sizes at most {MOST}",
            "measured": f"{leaked:.3f}",
            "reached": leaked <= MOST,
        },
    ]
