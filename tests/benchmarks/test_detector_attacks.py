"""Attacks on the detector have the strength that they are said to have; the fine-tuned one is told from a bad file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import detector as benchmark
from benchmarks import detector_attacks
from benchmarks.detector_attacks import EPS, attacks, feature_distances, robust_detector
from benchmarks.detector_report import _attack_rows, _fare_text
from provenance.detection.detector import MODEL, Detector, Line
from provenance.detection.tower import tower_named
from provenance.models import store
from provenance.training.detector_robust import Recipe, write_weights

MADE = np.arange(8) < 4


class Look:
    """What sees the mean colour, ``gain`` times."""

    name, side, width = "look", 16, 3

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.gain * pixels.mean((2, 3))


class Redness:
    """A detector whose margin is how red a picture is, in levels above 106."""

    tower = Look()
    lines = {"all": Line(np.array([255.0, 0, 0], np.float32), -106.0, 1.0, 0.0, ai_from=1, not_to=-1)}


def pictures() -> Tensor:
    """Return eight pictures, uint8 ``[8, 3, 16, 16]``: the first four have 12 levels of red more."""
    pixels = torch.full((8, 3, 16, 16), 100, dtype=torch.uint8)
    pixels[MADE, 0] += 12
    pixels[:, 1] += torch.arange(8, dtype=torch.uint8)[:, None, None] * 9
    return pixels


def test_an_attack_moves_a_margin_by_its_radius_and_no_farther() -> None:
    found = attacks(cast(Detector, Redness()), pictures(), MADE)
    assert list(found) == list(EPS) == ["unattacked", "4/255", "8/255"]
    assert [found[eps]["auc"] for eps in EPS] == [1, 1, 0], "12 levels apart: 4 after 4 of both, crossed after 8"
    assert [found[eps]["accuracy"] for eps in EPS] == [1, 1, 0]
    assert [found[eps]["moved"] for eps in EPS] == pytest.approx([0, 4 / 12, 8 / 12], abs=1e-4)


def test_features_go_as_far_as_the_radius_lets_them() -> None:
    found = [feature_distances(Look(gain), Look(), pictures()) for gain in (1, 0.5)]
    frozen, dull = ({eps: measured["distance"] for eps, measured in one.items()} for one in found)
    assert found[0]["4/255"]["of_ten"] == pytest.approx(1), "there are three features"
    assert frozen["unattacked"] == 0
    assert frozen["8/255"] == pytest.approx(4 * frozen["4/255"], rel=1e-3), "squared"
    # Blue is the same everywhere, so of the least scale, and counts for nearly all.
    clean = pictures().float() / 255
    scale = clean.mean((2, 3)).std(0) + 0.01
    assert frozen["4/255"] == pytest.approx(float((4 / 255 / scale).square().sum()), rel=1e-3)
    assert dull["unattacked"] > 0, "it is what the frozen one says that counts"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of a fine-tuned tower, and of the shipped detector, which is of another one."""
    monkeypatch.setattr(detector_attacks, "WORK", tmp_path)
    (tmp_path / "robust").mkdir()
    write_weights(tower_named("text-image"), Recipe(steps=7), tmp_path / "robust-text-image.safetensors")
    shutil.copy(store.path(MODEL), tmp_path / "robust" / "text-image.safetensors")
    return tmp_path


def test_a_fine_tuned_tower_comes_with_the_numbers_of_its_training(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detector, "load", lambda self: None)
    found = robust_detector("text-image")
    assert found is not None
    assert found[1] == Recipe(steps=7)
    (work / "robust" / "text-image.safetensors").unlink()
    assert robust_detector("text-image") is None


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("robust-text-image.safetensors", "is not a good fine-tuned tower"),
        ("robust/text-image.safetensors", "it is no file of a detector"),
        (None, "it was fitted on other weights of text-image"),
    ],
)
def test_a_bad_file_is_named_before_anything_is_measured(work: Path, damaged: str | None, words: str) -> None:
    if damaged:
        (work / damaged).write_bytes((work / damaged).read_bytes()[:-100])
    with pytest.raises(SystemExit) as ended:
        robust_detector("text-image")
    assert isinstance(ended.value.code, str), "printed, with status 1"
    assert words in ended.value.code
    assert "PROVENANCE_FARE" in ended.value.code
    assert "provenance.training.detector_robust WORK" in ended.value.code


def test_a_promised_folder_that_is_empty_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_attacks, "WORK", tmp_path)
    assert robust_detector("text-image") is None
    monkeypatch.setenv("PROVENANCE_FARE", str(tmp_path))
    with pytest.raises(SystemExit, match=r"There is no .*robust-text-image.*unset PROVENANCE_FARE"):
        robust_detector("text-image")


def test_the_report_has_both_side_by_side_or_says_how() -> None:
    found = {eps: {"auc": 0.9 - 0.1 * n, "accuracy": 0.5, "moved": n / 2} for n, eps in enumerate(EPS)}
    alone = _attack_rows("v2", {"attacks": found, "fare": None})
    assert alone == [["v2", "0.900, 0.500, 0.0", "0.800, 0.500, 0.5", "0.700, 0.500, 1.0"]]
    said = _fare_text({"fare": None})
    assert "not measured" in said
    assert all(command in said for command in detector_attacks.COMMANDS)
    fare = {
        "steps": 120, "batch": 8, "iterations": 4, "pictures": 60, "attacks": found,
        "left_out": {"frozen": {"gpt4o": 0.8}, "robust": {"gpt4o": 0.75}},
        "distances": {
            tower: {eps: {"distance": far, "of_ten": 0.75} for eps, far in zip(EPS, row, strict=True)}
            for tower, row in {"frozen": (0, 10, 40), "robust": (2, 8, 50)}.items()
        },
    }  # fmt: skip
    assert len(_attack_rows("v2", {"attacks": found, "fare": fare})) == 2
    said = _fare_text({"attacks": found, "fare": fare})
    assert "no better for it" in said
    better = {eps: row | {"accuracy": 0.625} for eps, row in found.items()}
    assert "gains up to 0.125" in _fare_text({"attacks": found, "fare": fare | {"attacks": better}})
    words = ("120 steps of 8", "20,000 of 128", "-20% at 4/255", "+25% at 8/255", "8 (75%)", "0.800 -> 0.750 (GPT-4o)")
    for word in words:
        assert word in said


@pytest.mark.parametrize(("there", "words"), [(False, "There is no folder"), (True, "ai_sd15.tar")])
def test_without_pictures_it_says_what_to_set(
    there: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    monkeypatch.setenv("PROVENANCE_DATA", str(folder))
    monkeypatch.setattr(sys, "argv", ["detector"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Set PROVENANCE_DATA to a folder" in said
