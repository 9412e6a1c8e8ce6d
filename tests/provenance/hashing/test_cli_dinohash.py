"""``provenance hash --algorithm dinohash-...``: with the weights, and without them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from skimage import data
from typer.testing import CliRunner

from provenance import cli
from provenance.hashing.dinohash import DinoHash
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import encode_jpeg
from provenance.models.catalogue import MODELS
from provenance.models.dinohash import PUBLISHED, load_published
from tests.provenance.models.dinov2 import put_published

ALGORITHM = "dinohash-vits-v1"
run = CliRunner()


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture, and an empty folder of models in which random weights are taken for the published ones."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("PROVENANCE_MODELS", str(folder))
    name = PUBLISHED[ALGORITHM].backbone.name
    monkeypatch.setitem(MODELS, name, replace(MODELS[name], sha256=None))
    path = tmp_path / "coffee.jpg"
    path.write_bytes(encode_jpeg(data.coffee()))
    return path


@pytest.mark.parametrize("algorithm", PUBLISHED)
def test_without_its_weights_the_command_that_gets_them_is_told(picture: Path, algorithm: str) -> None:
    done = run.invoke(cli.app, ["hash", str(picture), "--algorithm", algorithm])
    assert done.exit_code == 2
    assert f"provenance models pull {PUBLISHED[algorithm].backbone.name}" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.output


def test_with_its_weights_it_hashes(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_published(ALGORITHM, picture.parent / "models")
    hasher = DinoHash(ALGORITHM, 96, lambda: load_published(ALGORITHM))
    monkeypatch.setitem(cli._PUBLISHED, ALGORITHM, hasher)
    done = run.invoke(cli.app, ["hash", str(picture), "--algorithm", ALGORITHM, "--json"])
    assert done.exit_code == 0
    (row,) = json.loads(done.stdout)
    assert row["algorithm"] == ALGORITHM
    assert row["usable"]
    assert len(row["hash"]) == 24


def test_it_is_not_run_unless_it_is_named(picture: Path) -> None:
    assert not set(PUBLISHED) & set(HASHERS)
    done = run.invoke(cli.app, ["hash", str(picture), "--json"])
    assert [row["algorithm"] for row in json.loads(done.stdout)] == [*HASHERS]
    refused = run.invoke(cli.app, ["hash", str(picture), "--algorithm", "dinohash"])
    assert refused.exit_code == 2
    assert "dinohash-v1-512" in refused.stderr
