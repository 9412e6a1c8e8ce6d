"""``provenance generate`` and ``provenance prove`` with real files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from provenance.artwork import recipe as recipes
from provenance.artwork.generator import generate as make
from provenance.artwork.recipe import Preset
from provenance.artwork.record import Record
from provenance.cli import app
from tests.artwork import weights
from tests.artwork.conftest import PROMPT

run = CliRunner()


@pytest.fixture
def signature(tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(recipes.PRESETS, "draft", Preset(32, 2, 1))
    monkeypatch.setenv("PROVENANCE_MODELS", str(tmp_path / "models"))
    file = tmp_path / "signature.txt"
    file.write_text("Only I have this text.")
    return file


def generate(target: Path, signature: Path, *more: str, prompt: str = PROMPT) -> Result:
    arguments = ["generate", str(target), "--signature", str(signature), "--prompt", prompt, "--preset", "draft", *more]
    return run.invoke(app, arguments)


def prove(record: Path, signature: Path, *more: str, prompt: str = PROMPT) -> Result:
    return run.invoke(app, ["prove", str(record), "--signature", str(signature), "--prompt", prompt, *more])


@pytest.fixture
def work(tmp_path: Path, signature: Path) -> Path:
    made = generate(tmp_path / "work.png", signature)
    assert made.exit_code == 0, made.output
    return tmp_path / "work.json"


def test_a_work_is_generated_and_proved(tmp_path: Path, signature: Path) -> None:
    made = generate(tmp_path / "work.png", signature, "--json")
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout)
    with Image.open(tmp_path / "work.png") as picture:
        assert (picture.size, picture.mode, picture.info) == ((32, 32), "RGB", {})
    record = Record.from_json((tmp_path / "work.json").read_bytes())
    assert (answer["pixel_sha256"], answer["latent_sha256"]) == (record.pixel_sha256, record.latent_sha256)
    assert answer["recipe_digest"] == record.recipe.digest

    proved = prove(tmp_path / "work.json", signature, "--json")
    assert proved.exit_code == 0, proved.output
    said = json.loads(proved.stdout)
    assert said["verdict"] == "identical"
    assert said["psnr_db"] is None
    assert said["hash_distance_of_256"] == 0
    assert said["prompt_fits"] is said["signature_fits"] is said["codes_decode_to_the_picture"] is True


def test_the_record_has_neither_key(work: Path, signature: Path) -> None:
    text = work.read_text()
    assert PROMPT not in text
    assert "mountain" not in text
    assert signature.read_text() not in text


@pytest.mark.parametrize("wrong", ["prompt", "signature"])
def test_a_wrong_key_proves_nothing(work: Path, signature: Path, tmp_path: Path, wrong: str) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Only I have this text!")
    keys = {"prompt": (signature, "another"), "signature": (other, PROMPT)}
    file, prompt = keys[wrong]
    proved = prove(work, file, "--json", prompt=prompt)
    assert proved.exit_code == 1
    said = json.loads(proved.stdout)
    assert said["verdict"] == "different"
    assert said["prompt_fits"] is (wrong != "prompt")
    assert said["signature_fits"] is (wrong != "signature")
    assert 0 < said["psnr_db"] < 40
    assert 0 < said["hash_distance_of_256"] <= 256


def test_the_prompt_is_asked_for_and_not_shown(tmp_path: Path, signature: Path) -> None:
    arguments = ["generate", str(tmp_path / "work.png"), "--signature", str(signature), "--preset", "draft"]
    slip = run.invoke(app, arguments, input=f"{PROMPT}\n{PROMPT[:-1]}\n")
    assert slip.exit_code == 1
    assert not (tmp_path / "work.png").exists()
    made = run.invoke(app, arguments, input=f"{PROMPT}\n{PROMPT}\n")
    assert made.exit_code == 0, made.output
    assert "Prompt" in made.stderr
    assert PROMPT not in made.output
    assert prove(tmp_path / "work.json", signature).exit_code == 0


def test_people_are_told_in_words(work: Path, signature: Path) -> None:
    said = prove(work, signature)
    assert said.exit_code == 0
    assert "verdict" in said.stdout
    assert "identical" in said.stdout
    assert "yes" in said.stdout


@pytest.mark.parametrize("prompt", ["", "   ", "x" * 1001])
def test_a_prompt_that_cannot_be_used_is_refused(tmp_path: Path, signature: Path, prompt: str) -> None:
    refused = generate(tmp_path / "work.png", signature, prompt=prompt)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
    assert "prompt" in refused.stderr.lower() or "words" in refused.stderr
    assert not (tmp_path / "work.png").exists()


def test_bad_files_are_refused_with_a_sentence(tmp_path: Path, signature: Path, work: Path) -> None:
    empty, absent, text = tmp_path / "empty", tmp_path / "absent", tmp_path / "text.json"
    empty.touch()
    text.write_text("{}")
    lone = tmp_path / "lone.json"
    lone.write_bytes(work.read_bytes())
    for refused, words in (
        (generate(tmp_path / "a.png", empty), "empty"),
        (generate(tmp_path / "a.png", absent), "No such file"),
        (generate(tmp_path / "a.png", tmp_path), "directory"),
        (generate(tmp_path / "a.jpg", signature), ".png"),
        (generate(tmp_path / "work.png", signature), "is there already"),
        (generate(tmp_path / "none" / "a.png", signature), "There is no folder"),
        (prove(text, signature), "not the record"),
        (prove(absent, signature), "No such file"),
        (prove(lone, signature), "Name the picture by --picture."),
        (prove(work, signature, "--picture", str(signature)), "picture"),
        (prove(work, empty), "empty"),
    ):
        assert refused.exit_code == 2, refused.output
        assert words in " ".join(refused.stderr.split())
        assert "Traceback" not in refused.output


def test_a_picture_of_another_size_is_refused(work: Path, signature: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "large.png")
    refused = prove(work, signature, "--picture", str(tmp_path / "large.png"))
    assert refused.exit_code == 2
    assert "64 x 48" in " ".join(refused.stderr.split())


def test_an_altered_picture_is_not_identical(work: Path, signature: Path) -> None:
    picture = work.with_suffix(".png")
    with Image.open(picture) as opened:
        pixels = np.array(opened)
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(picture)
    proved = prove(work, signature, "--json")
    assert proved.exit_code == 1
    said = json.loads(proved.stdout)
    assert said["verdict"] == "near"
    assert said["codes_decode_to_the_picture"] is False
    assert said["latent_equal"] is True


def test_the_codes_are_decoded_without_a_secret(work: Path, tmp_path: Path) -> None:
    said = run.invoke(app, ["prove", str(work), "--codes-only", "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout) == {"codes_decode_to_the_picture": True}
    record = Record.from_json(work.read_bytes())
    record.codes[0, 0, 0] = (record.codes[0, 0, 0] + 1) % 1024
    work.write_bytes(record.to_json())
    other = run.invoke(app, ["prove", str(work), "--codes-only"])
    assert other.exit_code == 1
    assert "no" in other.stdout.split()


def test_a_record_with_other_codes_is_said_to_be_damaged(work: Path, signature: Path) -> None:
    record = Record.from_json(work.read_bytes())
    record.codes[0, 0, 0] = (record.codes[0, 0, 0] + 1) % 1024
    work.write_bytes(record.to_json())
    proved = prove(work, signature)
    assert proved.exit_code == 1
    assert "altered or damaged" in " ".join(proved.stderr.split())


def test_without_a_signature_there_is_no_proof(work: Path) -> None:
    refused = run.invoke(app, ["prove", str(work), "--prompt", PROMPT])
    assert refused.exit_code == 2
    assert "--signature" in refused.stderr


def test_a_recipe_that_makes_one_picture_of_all_keys_proves_none(work: Path, signature: Path, tmp_path: Path) -> None:
    """Without a gradient and with nearly all of the latent decayed in a step, every key comes to the same codes."""
    made = Record.from_json(work.read_bytes()).recipe
    flat = replace(made, include=0.0, exclude=0.0, learning_rate=0.999, weight_decay=1.0)
    artwork = make(flat, PROMPT, bytes(32))
    Image.fromarray(artwork.pixels).save(tmp_path / "flat.png")
    (tmp_path / "flat.json").write_bytes(Record.of(flat, artwork).to_json())
    assert prove(tmp_path / "flat.json", signature).exit_code == 0, "the secrets of the commitments"
    stolen = prove(tmp_path / "flat.json", signature, "--json", prompt="another")
    assert (json.loads(stolen.stdout)["verdict"], stolen.exit_code) == ("identical", 1)


def test_no_such_preset(tmp_path: Path, signature: Path) -> None:
    refused = generate(tmp_path / "work.png", signature, "--preset", "huge")
    assert refused.exit_code == 2
    assert "draft, standard, fine" in " ".join(refused.stderr.split())


def test_a_missing_model_is_named(tmp_path: Path, signature: Path) -> None:
    with weights.shipped_from(tmp_path / "nothing"):
        refused = generate(tmp_path / "work.png", signature)
    assert refused.exit_code == 2
    assert "small-vqgan" in refused.stderr
    missing = generate(tmp_path / "work.png", signature, "--tier", "published")
    assert missing.exit_code == 2
    assert "provenance models pull vqgan-f16-16384" in " ".join(missing.stderr.split())


def test_a_folder_that_takes_no_file_is_refused_before_anything_is_computed(
    signature: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computes(*_arguments: object, **_options: object) -> None:
        raise AssertionError("minutes of work would be lost")

    monkeypatch.setattr("provenance.artwork.generator.generate", computes)
    # Not even root writes there.
    refused = generate(Path("/proc/work.png"), signature)
    assert refused.exit_code == 2, refused.output
    assert "/proc/work.json: " in refused.output
