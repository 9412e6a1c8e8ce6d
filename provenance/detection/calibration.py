"""From margins to probabilities, and to the right to stay silent.

Probabilities: Platt, "Probabilistic outputs for support vector machines" (1999). Abstention: conformal thresholds of
each class by itself (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005): whatever the scores
mean, a picture like those of the calibration is put on the wrong side no more often than was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def platt(made: Sequence[F64], others: Sequence[F64]) -> tuple[float, float]:
    """Fit slope and intercept so that ``expit(slope * margin + intercept)`` is the probability that a picture was made
    by AI, if there were as many of those as of others.

    Args:
        made: of each machine its margins, ``[N]``, of AI's pictures that it was not fitted to; machines count alike.
        others: of the same machines their margins, ``[M]``, of people's pictures that they were not fitted to.
    """
    positives, negatives = sum(map(len, made)), sum(map(len, others))
    margins = np.concatenate([*made, *others])
    # Platt's targets: never quite 0 or 1.
    wanted = np.repeat([(positives + 1) / (positives + 2), 1 / (negatives + 2)], [positives, negatives])
    weight = np.concatenate([np.full(len(one), 0.5 / len(made) / len(one)) for one in (*made, *others)])

    def loss(parameters: F64) -> tuple[float, F64]:
        logits = parameters[0] * margins + parameters[1]
        error = weight * (expit(logits) - wanted)
        value = float((weight * (np.logaddexp(0, logits) - wanted * logits)).sum())
        return value, np.array([(error * margins).sum(), error.sum()])

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return float(slope), float(intercept)


def conformal(scores: F64, error: float) -> float:
    """Return a threshold that a further score of the same kind exceeds with a chance of at most ``error``; infinite
    where there are too few scores to promise it."""
    rank = math.ceil((len(scores) + 1) * (1 - error))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def auc(made: F64, other: F64) -> float:
    """Return the area under the ROC curve: how often a made picture scores higher than another, ties half."""
    ranks = rankdata(np.concatenate([made, other]))[: len(made)]
    return float((ranks.sum() - len(made) * (len(made) + 1) / 2) / (len(made) * len(other)))


def balanced_accuracy(made: F64, other: F64, threshold: float) -> float:
    """Return the mean of both classes' shares on the right side; from the threshold on a picture counts as made."""
    return float(((made >= threshold).mean() + (other < threshold).mean()) / 2)


def best_balanced_accuracy(made: F64, other: F64) -> float:
    """Return the highest that any threshold reaches."""
    steps = np.concatenate([np.unique(np.concatenate([made, other])), [np.inf]])
    made, other = np.sort(made), np.sort(other)
    right = (1 - np.searchsorted(made, steps) / len(made) + np.searchsorted(other, steps) / len(other)) / 2
    return float(right.max())


def reliability(probabilities: F64, made: Bools, weights: F64, bins: int = 10) -> list[dict[str, float]]:
    """Return of each bin of equal width that is not empty: mean probability, share that was made, share of weight."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    rows = []
    for number in range(bins):
        here = place == number
        if weight := float(weights[here].sum()):
            rows.append(
                {
                    "said": float((weights * probabilities)[here].sum() / weight),
                    "was": float((weights * made)[here].sum() / weight),
                    "share": weight / float(weights.sum()),
                }
            )
    return rows


def expected_calibration_error(probabilities: F64, made: Bools, weights: F64) -> float:
    """Return the mean distance of what was said from what was, over ten bins of equal width (Naeini et al., 2015)."""
    return sum(abs(row["said"] - row["was"]) * row["share"] for row in reliability(probabilities, made, weights))


def coverage_curve(probabilities: F64, made: Bools, weights: F64) -> tuple[F64, F64]:
    """Return coverage and accuracy when only the surest pictures are answered: the surest one, two, ... all of them."""
    order = np.argsort(-np.abs(probabilities - 0.5), kind="stable")
    weight, right = weights[order], ((probabilities >= 0.5) == made)[order]
    answered = np.cumsum(weight)
    return answered / answered[-1], np.cumsum(weight * right) / answered


def coverage_at(probabilities: F64, made: Bools, weights: F64, accuracy: float) -> float:
    """Return the largest share of pictures that can be answered with at least this accuracy; 0 where none can."""
    coverage, reached = coverage_curve(probabilities, made, weights)
    enough = np.flatnonzero(reached >= accuracy)
    return float(coverage[enough[-1]]) if len(enough) else 0.0
