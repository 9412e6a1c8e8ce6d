"""What the recipe of the curves writes, and what lies in the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from provenance.hashing.deephash import DEEP_HASHES
from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.hasher import HASHERS, RETIRED
from provenance.training import impostor_curves


def test_pairs_that_share_pixels_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithms = (*HASHERS, *RETIRED, *DEEP_HASHES, DESCRIPTOR.algorithm)
    shipped = [impostor_curves.CURVES / f"{algorithm}.json" for algorithm in algorithms]
    monkeypatch.setattr(impostor_curves, "CURVES", tmp_path)
    monkeypatch.setattr(impostor_curves, "share_pixels", lambda one, other: {one, other} == {b"a", b"b"})
    matrix = np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]], np.uint16)
    impostor_curves._write("some-v1", 4, ["a", "b", "c"], [b"a", b"b", b"c"], matrix, {})
    written = json.loads((tmp_path / "some-v1.json").read_text())
    assert written["histogram"] == [0, 0, 1, 1, 0]
    assert written["excluded_pairs_that_share_pixels"] == [["a", "b"]]
    assert written["pairs"] == 2
    for path in shipped:
        assert "excluded_pairs_that_share_pixels" in json.loads(path.read_text()), path.name
