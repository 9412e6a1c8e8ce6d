"""``provenance signing-key``, ``sign`` and ``read`` with real files and the shipped networks."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from provenance.cli import app
from provenance.images.edits import apply
from provenance.watermark.key import make_key
from provenance.watermark.payload import Payload
from provenance.watermark.record import Recipe

SAMPLE = Path(__file__).parents[3] / "sample"
PICTURE, OTHER = SAMPLE / "chelsea.jpg", SAMPLE / "calla.jpg"
run = CliRunner()


def call(*arguments: Any) -> Result:
    return run.invoke(app, [str(argument) for argument in arguments])


def pixels(file: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a key, a picture signed with it, and its record."""
    folder = tmp_path_factory.mktemp("signed")
    assert call("signing-key", folder / "key").exit_code == 0
    made = call("sign", PICTURE, "--out", folder / "signed.png", "--key-file", folder / "key", "--number", 4711)
    assert made.exit_code == 0, made.output
    return folder


def read(picture: Path, folder: Path, *more: Any, **options: Any) -> tuple[int, dict[str, Any]]:
    given = {"key-file": folder / "key", "record": folder / "signed.json", **options}
    answer = call("read", picture, *(part for name, value in given.items() for part in (f"--{name}", value)), "--json")
    assert answer.exit_code in (0, 1, 3), answer.output
    return answer.exit_code, json.loads(answer.stdout)


def test_it_works(folder: Path) -> None:
    signed = Image.open(folder / "signed.png")
    assert (signed.mode, signed.info) == ("RGB", {})
    assert signed.size == Image.open(PICTURE).size
    assert json.loads((folder / "signed.json").read_text())["number"] == 4711
    status, answer = read(folder / "signed.png", folder)
    assert (status, answer["verdict"], answer["number"]) == (0, "genuine", 4711)
    assert answer["distance"] <= answer["near_radius"] < answer["candidate_radius"] < answer["bits"] == 96
    assert answer["chance_of_a_false_reading"] <= 2**-38


def test_it_is_read_after_edits_and_from_a_folder_of_records(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.json").write_text("{}")
    edited = apply("deephash_rotate_+10", pixels(folder / "signed.png"), 1)[:, ::-1]
    Image.fromarray(edited).save(tmp_path / "post.jpg", quality=60)
    status, answer = read(tmp_path / "post.jpg", folder, record=folder)
    assert (status, answer["verdict"], answer["mirrored"]) == (0, "genuine", True)
    assert abs(abs(answer["turned_degrees"]) - 10) < 1.5


def test_a_copied_signature_is_caught(folder: Path, tmp_path: Path) -> None:
    difference = pixels(folder / "signed.png").astype(int) - pixels(PICTURE)
    height, width = difference.shape[:2]
    onto = np.asarray(Image.open(OTHER).convert("RGB").resize((width, height)))
    Image.fromarray(np.clip(onto + 2 * difference, 0, 255).astype(np.uint8)).save(tmp_path / "copied.png")
    status, answer = read(tmp_path / "copied.png", folder)
    assert (status, answer["verdict"]) == (1, "copied")
    assert answer["distance"] > answer["candidate_radius"]


def test_a_picture_without_one_has_none(folder: Path) -> None:
    status, answer = read(PICTURE, folder)
    assert (status, answer["verdict"]) == (1, "none")


def test_another_key_vouches_for_nothing(folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    status, answer = read(folder / "signed.png", folder, **{"key-file": tmp_path / "key"})
    assert (status, answer["verdict"]) == (1, "not_genuine")


def test_a_record_that_was_altered_vouches_for_nothing(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "signed.json").read_text())
    record["hash"] = record["hash"][::-1]
    (tmp_path / "altered.json").write_text(json.dumps(record))
    assert read(folder / "signed.png", folder, record=tmp_path / "altered.json")[1]["verdict"] == "not_genuine"


def test_a_generators_recipe_signs_and_reads(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(Recipe(Payload(99, b"abcde"), "Painter 1").to_json())
    made = call("sign", OTHER, "--out", tmp_path / "made.png", "--recipe", recipe, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["number"] == 99
    assert not (tmp_path / "made.json").exists()
    answer = call("read", tmp_path / "made.png", "--recipe", recipe, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["verdict"] == "genuine"
    assert call("read", PICTURE, "--recipe", recipe).exit_code == 1


def test_the_key_is_for_its_owner_alone_and_never_printed(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    said = call("signing-key", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text().split()[1]
    again = call("signing-key", file)
    assert again.exit_code == 2
    assert file.read_text().split()[1] == secret
    file.chmod(0o644)
    warned = call("read", PICTURE, "--key-file", file, "--record", folder / "signed.json")
    assert "chmod 600" in warned.stderr
    for output in (said.output, again.output, warned.output, (folder / "signed.json").read_text()):
        assert secret not in output


def test_too_plain_a_picture_cannot_be_bound(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "red").save(tmp_path / "red.png")
    refused = call("sign", tmp_path / "red.png", "--out", tmp_path / "out.png", "--key-file", folder / "key")
    assert refused.exit_code == 2
    assert "no large shapes" in refused.stderr
    assert not (tmp_path / "out.png").exists()
    assert not (tmp_path / "out.json").exists()


def _refused(folder: Path, tmp_path: Path, what: str) -> tuple[list[Any], str]:
    key, record, out = folder / "key", folder / "signed.json", tmp_path / "out.png"
    (tmp_path / "text.json").write_text("Lorem")
    (tmp_path / "cut").write_text("provenance-signature-key-v1 QUJD\n")
    small = tmp_path / "small.png"
    Image.fromarray(pixels(PICTURE)[:40, :40]).save(small)
    signing = ["sign", PICTURE, "--out", out]
    reading = ["read", PICTURE]
    return {
        "no key": (signing, "--key-file"),
        "key and recipe": ([*signing, "--key-file", key, "--recipe", record], "either"),
        "recipe and number": ([*signing, "--recipe", record, "--number", 1], "--number"),
        "no recipe": ([*signing, "--recipe", record], "no recipe"),
        "no such key": ([*signing, "--key-file", tmp_path / "none"], "No such file"),
        "no key in it": ([*signing, "--key-file", record], "no key of signatures"),
        "a key cut short": ([*signing, "--key-file", tmp_path / "cut"], "3 bytes"),
        "JPEG": (["sign", PICTURE, "--out", tmp_path / "out.jpg", "--key-file", key], ".png"),
        "no folder": (["sign", PICTURE, "--out", tmp_path / "no" / "out.png", "--key-file", key], "no folder"),
        "there already": (["sign", PICTURE, "--out", folder / "signed.png", "--key-file", key], "there already"),
        "no picture": (["sign", record, "--out", out, "--key-file", key], "signed.json"),
        "too small": (["sign", small, "--out", out, "--key-file", key], "40 x 40"),
        "number too large": ([*signing, "--key-file", key, "--number", 1 << 24], "16777215"),
        "key alone": ([*reading, "--key-file", key], "--record"),
        "record alone": ([*reading, "--record", record], "--key-file"),
        "all three": ([*reading, "--key-file", key, "--record", record, "--recipe", record], "--recipe"),
        "no record": ([*reading, "--key-file", key, "--record", tmp_path / "text.json"], "no JSON"),
        "no records": ([*reading, "--key-file", key, "--record", tmp_path], "no record of a signature"),
    }[what]


@pytest.mark.parametrize(
    "what",
    ["no key", "key and recipe", "recipe and number", "no recipe", "no such key", "no key in it", "a key cut short",
     "JPEG", "no folder", "there already", "no picture", "too small", "number too large", "key alone", "record alone",
     "all three", "no record", "no records"],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(folder: Path, tmp_path: Path, what: str) -> None:
    arguments, words = _refused(folder, tmp_path, what)
    answer = call(*arguments)
    assert answer.exit_code == 2, answer.output
    assert words in answer.stderr.replace("\n", " ")
    assert "Traceback" not in answer.output
    assert not (tmp_path / "out.png").exists()


def test_who_signs_a_signed_picture_is_told_what_that_costs(folder: Path, tmp_path: Path) -> None:
    made = call("sign", folder / "signed.png", "--out", tmp_path / "twice.png", "--key-file", folder / "key")
    assert made.exit_code == 0
    assert "signed already" in made.stderr
    assert read(tmp_path / "twice.png", folder)[1]["verdict"] != "genuine"
    assert read(tmp_path / "twice.png", folder, record=tmp_path / "twice.json")[1]["verdict"] == "genuine"
