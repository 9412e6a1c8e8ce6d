from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import signature_paper as bench
from provenance.models.errors import ModelMissing
from provenance.models.paper_signature_nets import ResNet34, ResNetConfig, UNet, UNetConfig
from provenance.training.paper_signature import RUNS, recipe_of
from provenance.training.signature_pictures import Squares
from provenance.watermark import paper

NET = UNetConfig(8, (1, 2), blocks=1, attention=(), head=8, groups=4, dropout=0.0)


def test_a_detector_that_is_right_three_times_of_four() -> None:
    code = np.ones((4, 1), bool)
    signed, plain = np.array([[3.0], [2.0], [1.0], [-1.0]]), np.array([[-2.0], [-3.0], [0.5], [-4.0]])
    tuning = np.linspace(-5, 0.9, 100)[:, None]
    found = bench.detected(signed, plain, tuning, code)
    assert found["accuracy"]["share"] == 6 / 8
    assert found["exact"]["share"] == found["tpr"]["share"] == 3 / 4
    assert found["auc"] == 15 / 16
    assert found["fpr"]["share"] == 0
    # Nothing false of four: the bound is still 1 - .05 ** (1 / 4).
    assert found["fpr"]["bound"] == pytest.approx(1 - 0.05 ** (1 / 4))
    # Wilson's interval of 3 of 4, as published tables have it.
    assert (found["exact"]["low"], found["exact"]["high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_two_bits_count_by_themselves_and_together() -> None:
    signed, code = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[True, False], [False, True]])
    found = bench.detected(signed, np.full((2, 2), -1.0), np.full((2, 2), -1.0), code)
    assert found["accuracy"]["share"] == 7 / 8
    assert found["exact"]["share"] == 1 / 2


def test_one_level_everywhere_is_48_decibels() -> None:
    plain = np.full((3, 8, 8, 3), 100, np.uint8)
    signed = plain.copy()
    signed[:2] += 1
    found = bench.likeness(signed, plain)
    assert found["psnr_db"] == pytest.approx(20 * math.log10(255))
    assert found["identical"] == 1
    assert found["changed_levels"] == pytest.approx(2 / 3)
    assert found["pooled_psnr_db"] == pytest.approx(20 * math.log10(255) - 10 * math.log10(2 / 3))
    assert bench.likeness(plain, plain)["psnr_db"] is None


def test_every_edit_gives_pictures_of_the_same_shape() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    for name, edit in bench.EDITS.items():
        edited = edit(pictures)
        assert edited.shape == pictures.shape, name
        assert edited.dtype == np.uint8, name
        assert not np.array_equal(edited, pictures), name


def test_what_is_there_is_measured_and_what_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(paper.PROFILES, "small", paper.Profile(16, NET, ResNetConfig(4, small=True)))
    pixels = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 3), np.uint8)
    monkeypatch.setattr(bench, "of_size", lambda *_: [Squares([f"{n}.png" for n in range(80)], pixels)])
    with pytest.raises(ModelMissing, match=r"paper_signature .* --size small"):
        bench.measure(tmp_path, tmp_path, "small")
    torch.manual_seed(0)
    for run in ("n1", "noise", "restore-noise"):
        told = {"recipe": asdict(recipe_of(run, "small")), "history": []}
        detector = None if run.startswith("restore") else ResNet34(ResNetConfig(4, small=True))
        paper.save(tmp_path / f"{run}.safetensors", UNet(NET), detector, told)
    found = bench.measure(tmp_path, tmp_path, "small")
    assert list(found["stage_one"]) == ["n1", "noise"]
    # An untrained injector returns grey: far off, and told by no one.
    assert found["stage_one"]["n1"]["psnr_db"] < 15
    assert set(found["stage_one"]["n1"]["edits"]) == set(bench.EDITS)
    assert list(found["restoration"]) == ["noise"]
    assert found["stage_two"] == {}
    assert "n2" in found["missing"][0]
    assert "restore-noise " not in f"{found['missing'][0]} "
    assert len(found["missing"]) == 4
    text = bench.tables(found)
    assert "| n1 | 0.05 | 1 |" in text
    assert "| noise |" in text


def test_the_missing_commands_name_all_runs_and_phases(tmp_path: Path) -> None:
    first, *second = bench.missing(tmp_path, tmp_path, "small")
    assert all(run in first for run in RUNS)
    assert [command.split()[4] for command in second] == ["vqgan", "gan", "diffusion"]
    assert "base" not in second[0]
