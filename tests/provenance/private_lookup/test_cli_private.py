"""The commands, from nothing to an answer, with two keyholders behind sockets; toy parameters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from skimage import data
from typer.testing import CliRunner, Result

from provenance.cli import app
from provenance.images.decode import encode_jpeg
from provenance.images.edits import apply
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.identity import Vault
from tests.provenance.private_lookup.club import PASSPHRASES, TAU, Club

run = CliRunner()


def call(*arguments: object, status: int = 0, passphrase: str = "home") -> Result:
    done = run.invoke(app, [str(argument) for argument in arguments], env={"PROVENANCE_PASSPHRASE": passphrase})
    assert done.exit_code == status, done.output
    return done


@pytest.fixture(scope="module")
def home(club: Club, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A holder's and a client's keys, the agreement, and pictures; the keyholders are the club's."""
    home = tmp_path_factory.mktemp("home")
    for identity in (club.holder, club.client):
        Vault(home / identity.name / "vault", "home").keep("identity", identity.to_bytes())
        (home / identity.name / "identity.json").write_text(json.dumps(identity.public.to_dict()))
    (home / "agreement.json").write_bytes(club.agreement.to_json())
    (home / "pictures").mkdir()
    for name in ("coffee", "astronaut", "chelsea"):
        (home / "pictures" / f"{name}.jpg").write_bytes(encode_jpeg(getattr(data, name)()))
    (home / "copy.jpg").write_bytes(encode_jpeg(apply("stable_signature_jpeg_50", data.coffee(), 1)))
    (home / "stranger.jpg").write_bytes(encode_jpeg(data.rocket()))
    return home


@pytest.fixture(scope="module")
def options(club: Club, home: Path) -> list[object]:
    return ["--agreement", home / "agreement.json", "--keys", club.folder / "archive" / "keys"]


@pytest.fixture
def sockets(club: Club, home: Path) -> Iterator[list[object]]:
    started = []
    for name, phrase in PASSPHRASES.items():
        command = ["serve", club.folder / name, "--catalogue", home / "catalogue", "--socket", home / f"{name}.socket"]
        program = [sys.executable, "-m", "provenance.cli", "keyholder", *command]
        environment = {**os.environ, "PROVENANCE_PASSPHRASE": phrase}
        started.append(subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL))
    try:
        deadline = time.monotonic() + 120
        while not all((home / f"{name}.socket").exists() for name in PASSPHRASES):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield [part for name in PASSPHRASES for part in ("--keyholder", home / f"{name}.socket")]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_from_pictures_to_an_answer(home: Path, options: list[object], request: pytest.FixtureRequest) -> None:
    holder = ["--into", home / "catalogue", *options, "--identity", home / "holder"]
    (home / "pictures" / "text.jpg").write_text("no picture")
    done = call("catalogue", "encrypt", home / "pictures", *holder, status=2)
    assert "text.jpg" in done.stderr
    assert "3 entries encrypted, 3 in all, state 1" in done.stdout
    (home / "pictures" / "text.jpg").unlink()
    assert "0 entries encrypted, 3 in all, state 1" in call("catalogue", "encrypt", home / "pictures", *holder).stdout

    # Keyholders serve a catalogue that is there.
    sockets: list[object] = request.getfixturevalue("sockets")
    agreement = options[:2]
    call("catalogue", "offer", home / "catalogue", *agreement, *sockets)
    asker = ["--catalogue", home / "catalogue", *options, "--identity", home / "client", *sockets]
    found = json.loads(call("catalogue", "ask", home / "copy.jpg", *asker, "--who", "--json", "--for", "ann").stdout)
    assert (found["matches"], found["entries"], found["tau"], found["bits"]) == (True, 3, TAU, 96)
    assert found["places"] == [[0, 2]]
    assert found["alarm"] is None
    assert (home / "client" / "vault" / "watch.sealed").exists()
    assert found["expected_false_hits"]["upper_bound"] > 0
    done = call("catalogue", "ask", home / "stranger.jpg", *asker, status=1)
    assert done.stdout.startswith("Nothing in the catalogue matches. 3 entries")
    call("catalogue", "delete", home / "catalogue", "coffee.jpg", *agreement, "--identity", home / "holder")
    done = call("catalogue", "ask", home / "copy.jpg", *asker, status=2)
    assert "not about the catalogue's present, checked state" in done.stderr
    made = [*options, "--identity", home / "holder"]
    done = call("catalogue", "compact", home / "catalogue", home / "pictures", *made)
    assert "2 entries in 1 blocks, state 3" in done.stdout
    old = ["--from", home / "catalogue", "--old-agreement", options[1], "--into", home / "rotated"]
    done = call("catalogue", "rotate", home / "pictures", *old, *made)
    assert "2 of 2 entries" in done.stdout
    assert "there already" in call("catalogue", "rotate", home / "pictures", *old, *made, status=2).stderr


def test_keyholders_are_made_and_agree_and_take_part(club: Club, tmp_path: Path, engine_python: Path) -> None:
    for name in ("one", "other"):
        made = call("keyholder", "create", tmp_path / name, name, passphrase=name)
        assert made.stdout.strip() == str(tmp_path / name / "identity.json")
    call("catalogue", "identity", tmp_path / "holder", "holder")
    parties = [part for name in ("one", "other") for part in ("--party", tmp_path / name / "identity.json")]
    written = [tmp_path / "agreement.json", *parties, "--holder", tmp_path / "holder" / "identity.json"]
    call("catalogue", "agreement", *written, "--algorithm", "dinohash-house-v2")
    done = call("keyholder", "agree", tmp_path / "other", tmp_path / "agreement.json", passphrase="other")
    assert done.stdout.startswith("other has agreed to")
    generate = ["keyholder", "generate", tmp_path / "other", tmp_path / "exchange", "--no-wait"]
    assert "Waiting for seed of one." in call(*generate, passphrase="other").stdout
    done = call("keyholder", "generate", club.folder / "museum", tmp_path, passphrase=PASSPHRASES["museum"])
    assert f"The joint keys are in {club.folder / 'museum' / 'keys'}" in done.stdout
    admit = ["keyholder", "admit", tmp_path / "one", tmp_path / "holder" / "identity.json"]
    assert call(*admit, passphrase="one").stdout == "one answers holder.\n"
    assert "already" in call("keyholder", "create", tmp_path / "one", "one", status=2).stderr
    assert "already" in call("catalogue", "identity", tmp_path / "holder", "holder", status=2).stderr
    wrong = call("keyholder", "agree", tmp_path / "one", tmp_path / "agreement.json", passphrase="two", status=2)
    assert "does not open" in wrong.stderr


def test_the_journal_is_printed_and_proved(club: Club, tmp_path: Path) -> None:
    journal = json.loads(call("keyholder", "journal", club.folder / "archive", "--json").stdout)
    assert [entry["event"] for entry in journal["entries"]][:3] == ["agreed", "generated", "client"]
    assert "each as archive wrote it" in call("keyholder", "journal", club.folder / "archive").stdout
    for name in ("journal.jsonl", "identity.json"):
        shutil.copy(club.folder / "archive" / name, tmp_path / name)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"client"', b'"admin1"', 1))
    assert "was altered" in call("keyholder", "journal", tmp_path, status=2).stderr


def test_agreements_say_what_chance_does(club: Club, tmp_path: Path) -> None:
    for party in club.agreement.parties:
        (tmp_path / party.name).write_text(json.dumps(party.to_dict()))
    parties = [part for party in club.agreement.parties for part in ("--party", tmp_path / party.name)]
    common = [*parties, "--holder", tmp_path / "archive"]
    done = call("catalogue", "agreement", tmp_path / "a", *common)
    made = Agreement.from_json((tmp_path / "a").read_bytes())
    assert (made.scheme_id, made.algorithm, made.tau, made.policies) == ("bgv-v1-256", "pdq-v1", 32, (Policy.BIT,))
    assert "95 % bound" in done.stdout
    assert "too many" not in done.stdout
    done = call("catalogue", "agreement", tmp_path / "b", *common, "--algorithm", "dinohash-house-v2", "--tau", 24)
    assert "too many for an answer that nothing verifies" in done.stdout
    call("catalogue", "agreement", tmp_path / "c", *common, "--algorithm", "phash-v1", status=2)
    call("catalogue", "agreement", tmp_path / "c", *common, "--tau", 33, status=2)


def test_what_is_missing_is_said(home: Path, tmp_path: Path, options: list[object]) -> None:
    agree = ["keyholder", "agree", tmp_path]
    assert "provenance keyholder create" in call(*agree, home / "agreement.json", status=2).stderr
    done = call(
        "catalogue", "encrypt", home / "pictures", "--into", tmp_path, *options, "--identity", tmp_path, status=2
    )
    assert "provenance catalogue identity" in done.stderr
    wrong = ["--agreement", tmp_path / "none", *options[2:], "--identity", home / "holder"]
    done = call("catalogue", "encrypt", home / "pictures", "--into", tmp_path, *wrong, status=2)
    assert "cannot be read" in done.stderr


def test_the_engines_interpreter_is_printed(engine_python: Path) -> None:
    assert Path(call("private", "engine").stdout.strip()).exists()
    assert call("private", "setup").stdout == call("private", "engine").stdout
