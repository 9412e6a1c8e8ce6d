"""What a training is told of where it runs and what it learns from."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.training.devices import device
from provenance.training.pictures import DataMissing, archive_path
from provenance.training.signature_pictures import folder


def test_a_device_that_is_not_there_is_refused() -> None:
    assert device("cpu") == "cpu"
    for text in ("abacus", "cuda:99"):
        with pytest.raises(argparse.ArgumentTypeError, match=text):
            device(text)


def test_an_archive_that_is_not_there_is_named_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVENANCE_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"flickr8k.tar is not in .*PROVENANCE_DATA"):
        archive_path("flickr8k.tar")
    (tmp_path / "flickr8k.tar").touch()
    assert archive_path("flickr8k.tar") == tmp_path / "flickr8k.tar"


def test_a_picture_that_came_into_a_folder_later_belongs_to_it(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with pytest.raises(DataMissing, match="no picture in"):
        folder(pictures, tmp_path, 16)
    for number in (1, 2):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number}.png")
        assert len(folder(pictures, tmp_path, 16).names) == number
