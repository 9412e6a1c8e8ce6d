"""Works signed while they are decoded: what the report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from benchmarks import signature_decoder as bench
from benchmarks.signature import EDITS
from provenance.training.signing_decoder import Recipe, Training
from provenance.watermark.payload import Payload

PAYLOAD = Payload(5, b"\x01\x02\x03\x04\x05")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = Training(Recipe(steps=1))
    path = tmp_path_factory.mktemp("head") / "signing-decoder.safetensors"
    save_file(training.net.head.state_dict(), path, {"training": training.told})
    return path


@pytest.mark.parametrize("side", [128, 256])
def test_an_untrained_head_leaves_the_work_as_it_is(head: Path, side: int) -> None:
    decoder = bench.Decoder(head)
    pixels = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    plain, signed = decoder.both(decoder.codes(pixels), PAYLOAD)
    assert plain.shape == (side, side, 3)
    assert np.array_equal(plain, signed)


def test_a_row_counts_what_was_refused_and_what_was_read() -> None:
    read = dict.fromkeys(EDITS, True)
    row = bench._row([(44.0, read), (46.0, read | {"flip": False}), (None, dict.fromkeys(EDITS, False))])
    assert (row["works"], row["refused_or_unchanged"], row["psnr_db"]) == (3, 1, 45.0)
    assert (row["read"]["clean"], row["read"]["flip"]) == (2, 1)
    assert bench._row([(None, read)])["psnr_db"] is None


@pytest.mark.parametrize("steps", [1, 4, 60])
def test_the_report_shows_how_training_ended(steps: int) -> None:
    curve = [{"step": 25 * number, "error": 1 - number / 1000} for number in range(1, steps + 1)]
    ways = {way: bench._row([(44.0, dict.fromkeys(EDITS, True))]) for way in bench.WAYS}
    training = {"recipe": {"steps": 25 * steps, "batch": 4}, "curve": curve}
    told = bench.text({"training": training, "rows": {"one work": ways}, "only": [9, 1]})
    assert f"{1 - steps / 1000:.3f} ({25 * steps:,})" in told
    assert "p = 0.021" in told
    assert told.count("| one work |") == len(bench.WAYS)
