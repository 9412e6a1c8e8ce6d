"""How verification is judged: on made-up figures whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from provenance.matching.policy import upper_bound
from provenance.matching.verify import FIGURES, PairKind, model_from
from provenance.training.verification_rates import _NOTHING, _lines, fitted, judged

# In the order of FIGURES: inliers to descriptor.
COPY = [4.0, 0.95, 0.95, 0.95, 0.9, 0.95, 0.9, 4.0, 0.9, 0.01, 0.9]
STRANGER = [0.0, 0.5, 0.5, 0.4, 0.2, 0.3, 0.1, 3.0, 0.3, 0.05, 0.1]


def pair(kind: str, number: int, figures: list[float], edit: str = "flip") -> dict[str, Any]:
    ways = np.array(figures) + np.random.default_rng(number).normal(0, 0.05, len(FIGURES))
    return {"kind": kind, "edit": edit, "pair": [f"{number}.jpg", f"{kind}.jpg"], "ways": [ways.tolist()]}


PAIRS = [pair("copy", n, COPY) for n in range(40)] + [pair("stranger", n, STRANGER) for n in range(40, 80)]


def model() -> Any:
    return model_from(fitted(PAIRS) | {"held_out": _NOTHING})


def test_copies_and_strangers_are_told_apart_and_counted() -> None:
    found = judged(PAIRS, model())
    assert (found["genuine_pairs"], found["genuine_verified"]) == (40, 40)
    assert (found["hard_pairs"], found["false_verifications"], found["strangers_partial"]) == (40, 0, 0)
    assert found["calibration_error"] < 0.1


def test_a_stranger_that_agrees_is_counted_once_and_named_whatever_was_done_to_it() -> None:
    wrong = [pair("stranger", 99, COPY, edit) for edit in ("flip", "crop30")]
    found = judged([*PAIRS, *wrong], model())
    assert (found["hard_pairs"], found["hard_pairs_under_edits"]) == (41, 42)
    assert found["false_verifications"] == 1
    assert found["wrongly_verified"] == [["99.jpg", "stranger.jpg"]] * 2


def test_pairs_in_one_frame_are_counted_apart_and_twins_not_at_all() -> None:
    found = judged([*PAIRS, pair("twin", 1, COPY), pair("framed", 2, COPY), pair("framed", 3, STRANGER)], model())
    assert (found["framed_pairs"], found["framed_verified"], found["hard_pairs"]) == (2, 1, 40)
    assert found["twins_left_out"] == [("1.jpg", "twin.jpg")]


def test_where_a_part_agrees_and_another_does_not_it_is_no_match() -> None:
    uneven = np.array(COPY)
    uneven[[FIGURES.index("block_median"), FIGURES.index("block_quartile")]] = 0.9, 0.1
    assert model().kind(np.array(COPY)) == PairKind.VERIFIED
    assert model().kind(uneven) == PairKind.PARTIAL
    uneven[FIGURES.index("descriptor")] = 0.1
    assert model().kind(uneven) == PairKind.REJECTED


@pytest.mark.parametrize(("wrong", "pairs", "bound"), [(0, 59, 0.0495), (1, 1061, 0.00446), (3, 3, 1.0)])
def test_the_bound_is_that_of_clopper_and_pearson(wrong: int, pairs: int, bound: float) -> None:
    assert upper_bound(wrong, pairs) == pytest.approx(bound, abs=2e-4)


def test_a_line_that_a_killed_run_left_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"query": "a"}) + "\n" + '{"query": "b", "pai')
    assert _lines(path) == [{"query": "a"}]
    assert path.read_text() == json.dumps({"query": "a"}) + "\n"
    assert _lines(tmp_path / "none.jsonl") == []
