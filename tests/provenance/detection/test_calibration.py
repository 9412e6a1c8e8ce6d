"""Probabilities, abstention and their measures, against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from provenance.detection.calibration import (
    auc,
    balanced_accuracy,
    best_balanced_accuracy,
    conformal,
    coverage_at,
    expected_calibration_error,
    platt,
    reliability,
)


def test_platt_finds_the_curve_that_the_margins_follow() -> None:
    random = np.random.default_rng(0)
    margins = random.normal(0, 2, 40_000)
    made = random.random(40_000) < expit(1.5 * margins + 0.0)
    slope, intercept = platt([margins[made]], [margins[~made]])
    assert slope == pytest.approx(1.5, rel=0.1)
    assert intercept == pytest.approx(0, abs=0.1)


def test_platt_takes_both_kinds_and_all_machines_for_equally_frequent() -> None:
    random = np.random.default_rng(2)
    made, other = random.normal(1, 1, 400), random.normal(-1, 1, 400)
    even = platt([made], [other])
    assert platt([made], [np.tile(other, 9)]) == pytest.approx(even, abs=0.02)
    both = platt([made, made + 2], [other, other + 2])
    assert platt([made, np.tile(made + 2, 9)], [other, other + 2]) == pytest.approx(both, abs=0.02)
    assert expit(even[1]) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("error", [0.01, 0.05, 0.2])
def test_conformal_keeps_its_promise(error: float) -> None:
    random = np.random.default_rng(1)
    wrong = [float(random.normal()) > conformal(random.normal(size=199), error) for _ in range(4000)]
    assert np.mean(wrong) <= error + 3 * math.sqrt(error / 4000)
    assert np.mean(wrong) >= error / 3


def test_conformal_promises_nothing_on_too_few() -> None:
    assert conformal(np.arange(98.0), 0.01) == math.inf
    assert conformal(np.arange(99.0), 0.01) == 98
    assert conformal(np.empty(0), 0.5) == math.inf


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([0.0]), np.array([1.0, -1.0])) == 0.5


def test_accuracies() -> None:
    made, other = np.array([0.2, 0.6, 0.9]), np.array([0.1, 0.3, 0.55])
    assert balanced_accuracy(made, other, 0.5) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert best_balanced_accuracy(made, other) == pytest.approx((2 / 3 + 1) / 2)


def test_the_calibration_error_is_what_was_said_beside_what_was() -> None:
    said = np.array([0.95, 0.95, 0.05, 0.05])
    was = np.array([True, False, False, False])
    even = np.ones(4)
    assert expected_calibration_error(said, was, even) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert [row["share"] for row in reliability(said, was, even)] == [0.5, 0.5]
    assert expected_calibration_error(said, said > 0.5, np.array([1.0, 1, 1, 1])) == pytest.approx(0.05)


def test_coverage_answers_the_surest_only() -> None:
    said = np.array([0.99, 0.01, 0.8, 0.3])
    was = np.array([True, False, False, False])
    even = np.ones(4)
    assert coverage_at(said, was, even, 0.99) == pytest.approx(0.5)
    assert coverage_at(said, was, even, 0.75) == pytest.approx(1)
    assert coverage_at(said[2:3], was[2:3], even[2:3], 0.99) == 0
