"""The shipped detector, and what reads detectors: answers, abstention, the wrong file, the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from provenance.cli import app
from provenance.detection.detector import (
    DETECTOR,
    MODEL,
    VERSION,
    Band,
    Crop,
    Detection,
    Detector,
    Line,
    digest_of,
    heat_map,
    read_lines,
)
from provenance.detection.tower import SHIPPED, SHIPPED_WIDTH, tower_named
from provenance.detection.views import Box, levelled
from provenance.models import store
from provenance.models.errors import ModelCorrupt, UnknownModel
from provenance.training.detector import save
from provenance.training.pictures import DataMissing

LINE = Line(np.array([2.0, -1.0], np.float32), offset=0.5, slope=2.0, intercept=-1.0, ai_from=1.0, not_to=-1.0)


def test_between_the_thresholds_there_is_no_answer() -> None:
    assert LINE.margins(np.array([[1, 0], [0, 3], [0, 0.5]], np.float32)).tolist() == [2.5, -2.5, 0.0]
    assert [LINE.band(margin) for margin in (2.5, 1.0, 0.99, -0.99, -1.0)] == [
        Band.LIKELY_AI,
        Band.LIKELY_AI,
        Band.CANNOT_TELL,
        Band.CANNOT_TELL,
        Band.LIKELY_NOT_AI,
    ]
    assert LINE.probability(0.5) == pytest.approx(0.5)


def test_the_shipped_detector_judges_by_the_mean_of_its_squares() -> None:
    found = DETECTOR.detect(data.coffee())
    assert len(found.crops) == 8, "a picture of 3 : 2 has two whole squares and six smaller ones"
    assert found.margin == pytest.approx(np.mean([crop.margin for crop in found.crops]))
    assert found.band == DETECTOR.lines["all"].band(found.margin) != Band.LIKELY_AI
    assert DETECTOR.version == VERSION
    assert set(DETECTOR.lines) == {"all", *DETECTOR.about["generators"]}


def test_only_an_answer_has_a_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    line = DETECTOR.lines["all"]
    margin = DETECTOR.detect(data.coffee()).margin
    assert margin is not None
    for thresholds, band in (((margin - 1, margin - 2), Band.LIKELY_AI), ((margin + 1, margin - 1), Band.CANNOT_TELL)):
        shifted = replace(line, ai_from=thresholds[0], not_to=thresholds[1])
        monkeypatch.setitem(DETECTOR.lines, "all", shifted)
        found = DETECTOR.detect(data.coffee())
        assert found.band == band
        wanted = None if band == Band.CANNOT_TELL else pytest.approx(float(line.probability(margin)))
        assert found.probability == wanted


def test_a_thumbnail_has_the_answer_of_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = data.astronaut()
    thumbnail = levelled(pixels)
    margins = [DETECTOR.detect(one).margin for one in (pixels, thumbnail)]
    assert margins[0] == pytest.approx(margins[1], abs=0.1)
    monkeypatch.setattr("provenance.detection.detector.levelled", lambda shown: shown)
    raw = [DETECTOR.detect(one).margin for one in (pixels, thumbnail)]
    assert raw[0] != pytest.approx(raw[1], abs=0.2), "without levelling it had another"


def test_what_is_small_or_plain_is_not_judged() -> None:
    small = DETECTOR.detect(data.astronaut()[:60, :60])
    assert (small.band, small.probability, small.reason) == (Band.CANNOT_TELL, None, "small")
    assert DETECTOR.detect(np.full((300, 300, 3), 90, np.uint8)).reason == "plain"
    assert DETECTOR.detect(np.tile(data.astronaut()[:100], (1, 27, 1))[:, :13_500]).reason == "long"


def test_features_have_gradients_to_the_pixels() -> None:
    tower = tower_named(SHIPPED)
    pixels = torch.rand(1, 3, tower.side, tower.side, requires_grad=True)
    features = tower(pixels)
    assert features.shape == (1, SHIPPED_WIDTH)
    features.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


def test_a_detector_made_by_the_recipe_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    wide = Line(np.linspace(-1, 1, SHIPPED_WIDTH, dtype=np.float32), 0.25, 1.5, 0.1, 2.0, -2.0)
    save(file, SHIPPED, store.sha256(SHIPPED), {"all": wide}, {"flickr8k": 3}, {}, ship=False)
    lines, about = read_lines(file)
    assert lines["all"].weights.tolist() == wide.weights.tolist()
    assert (lines["all"].offset, lines["all"].ai_from) == (0.25, 2.0)
    assert about["pictures"] == {"flickr8k": 3}
    assert Detector(file).detect(data.coffee()).margin is not None
    versions = {about["version"]}
    for line, ship in ((wide, False), (replace(wide, ai_from=2.5), False), (wide, True)):
        save(file, SHIPPED, store.sha256(SHIPPED), {"all": line}, {"flickr8k": 3}, {}, ship=ship)
        versions.add(read_lines(file)[1]["version"])
    assert len(versions) == 3, "only what ships has the name of what ships, and others have one each"
    assert VERSION in versions


def test_a_detector_of_other_weights_or_of_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    wide = Line(np.zeros(SHIPPED_WIDTH, np.float32), 0.0, 1.0, 0.0, 1.0, -1.0)
    save(file, SHIPPED, "0" * 64, {"all": wide}, {}, {}, ship=False)
    with pytest.raises(ModelCorrupt, match="fitted on other weights of text-image"):
        Detector(file).load()
    with pytest.raises(ModelCorrupt, match="no file of a detector"):
        Detector(store.path(SHIPPED)).load()
    with pytest.raises(UnknownModel, match="no tower copy-hash"):
        tower_named("copy-hash")
    with pytest.raises(ModelCorrupt, match="missing: stem"):
        tower_named(SHIPPED, store.path(MODEL))
    assert digest_of(SHIPPED, store.path(SHIPPED)) == store.sha256(SHIPPED)


def test_too_few_pictures_make_no_detector(tmp_path: Path) -> None:
    endless = Line(np.zeros(3, np.float32), 0.0, 1.0, 0.0, np.inf, -1.0)
    with pytest.raises(DataMissing, match="too few pictures"):
        save(tmp_path / "mine.safetensors", SHIPPED, "", {"all": endless}, {}, {}, ship=False)


def test_the_heat_is_where_squares_stand_out() -> None:
    crops = [Crop(Box(0, 0, 0.5, 0.5), 3.0), Crop(Box(0.5, 0.5, 0.5, 0.5), -1.0)]
    heat = heat_map(Detection(Band.CANNOT_TELL, 0.5, 1.0, crops), 40, 80)
    assert heat.shape == (40, 80)
    assert heat[5, 10] == 2
    assert heat[35, 70] == -2
    assert heat[5, 70] == 0


def test_the_command_line_says_it_in_words_and_in_json(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.png" for name in ("cup", "plain", "long", "text")}
    Image.fromarray(data.coffee()).save(paths["cup"])
    Image.new("RGB", (300, 300), "grey").save(paths["plain"])
    Image.new("RGB", (13_500, 100), "grey").save(paths["long"])
    paths["text"].write_text("no picture")
    run = CliRunner()
    done = run.invoke(app, ["detect", *(str(paths[name]) for name in ("cup", "plain", "long"))])
    assert done.exit_code == 0
    assert "too plain" in done.stdout
    assert "too long" in done.stdout
    done = run.invoke(app, ["detect", str(paths["cup"]), "--json"])
    (row,) = json.loads(done.stdout)
    assert row["version"] == DETECTOR.version
    assert row["margin_thresholds"]["likely_not_ai"] < row["margin_thresholds"]["likely_ai"]
    assert (row["probability"] is None) == (row["band"] == "cannot_tell")
    assert len(row["crops"]) == 8
    assert row["margin"] == pytest.approx(np.mean([crop["margin"] for crop in row["crops"]]), abs=1e-3)
    done = run.invoke(app, ["detect", str(paths["text"]), str(paths["cup"])])
    assert done.exit_code == 2
    assert "cup.png" in done.stdout
    missing = run.invoke(app, ["detect", str(paths["cup"]), "--detector", str(tmp_path / "none")])
    assert missing.exit_code == 2
    assert "Make one by provenance.training.detector" in " ".join(missing.stderr.split())
    alone = run.invoke(app, ["detect", str(paths["cup"]), "--weights", str(store.path(SHIPPED))])
    assert alone.exit_code == 2
    assert "--weights goes with --detector" in alone.stderr
    shipped = ["--detector", str(store.path(MODEL)), "--weights"]
    missing = run.invoke(app, ["detect", str(paths["cup"]), *shipped, str(tmp_path / "none")])
    assert missing.exit_code == 2
    assert "No such file" in " ".join(missing.stderr.split())
