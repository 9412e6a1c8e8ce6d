"""The commands, from nothing to an answer, with three servers as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from skimage import data

from provenance.images.decode import encode_jpeg
from provenance.images.edits import apply
from tests.provenance.private_lookup.shares.house import NAMES, free_ports
from tests.provenance.private_lookup.test_cli_private import call


@pytest.fixture
def servers() -> list[object]:
    return [part for port in free_ports(3) for part in ("--server", f"127.0.0.1:{port}")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Everybody's keys, an agreement, and pictures."""
    (tmp_path / "pictures").mkdir()
    for name in ("coffee", "astronaut", "chelsea"):
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(encode_jpeg(getattr(data, name)()))
    (tmp_path / "copy.jpg").write_bytes(encode_jpeg(apply("stable_signature_jpeg_50", data.coffee(), 1)))
    (tmp_path / "stranger.jpg").write_bytes(encode_jpeg(data.rocket()))
    for name in NAMES:
        call("shareholder", "create", tmp_path / name, name)
    for name in ("holder", "client"):
        call("catalogue", "identity", tmp_path / name, name)
    parties = [part for name in NAMES for part in ("--party", tmp_path / name / "identity.json")]
    common = [tmp_path / "agreement.json", "--holder", tmp_path / "holder" / "identity.json", "--mode", "shares"]
    policies = ["--policy", "bit", "--policy", "who"]
    assert "3 servers" in call("catalogue", "agreement", *common, *parties[:4], status=2).stderr
    assert "95 % bound" in call("catalogue", "agreement", *common, *parties, *policies).stdout
    for name in NAMES:
        assert "has agreed to" in call("shareholder", "agree", tmp_path / name, tmp_path / "agreement.json").stdout
        call("shareholder", "admit", tmp_path / name, tmp_path / "client" / "identity.json")
    return tmp_path


@pytest.fixture
def served(home: Path, servers: list[object], request: pytest.FixtureRequest) -> Iterator[None]:
    started = []
    for name in NAMES:
        command = ["shareholder", "serve", home / name, "--shares", home / "catalogue" / name, *servers]
        program = [sys.executable, "-m", "provenance.cli", *map(str, command)]
        environment = {**os.environ, "PROVENANCE_PASSPHRASE": "home"}
        started.append(subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        for name, process in zip(NAMES, started, strict=True):
            assert process.stdout is not None
            assert f"{name} answers at 127.0.0.1" in process.stdout.readline()
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_from_pictures_to_an_answer(home: Path, servers: list[object], request: pytest.FixtureRequest) -> None:
    agreement = ["--agreement", home / "agreement.json"]
    holder = [*agreement, "--identity", home / "holder"]
    done = call("catalogue", "encrypt", home / "pictures", "--into", home / "catalogue", *holder)
    assert "3 entries shared out, 3 in all, state 1" in done.stdout
    done = call("catalogue", "encrypt", home / "pictures", "--into", home / "catalogue", *holder)
    assert "0 entries shared out, 3 in all, state 1" in done.stdout

    # Servers serve a catalogue that is there.
    request.getfixturevalue("served")
    asker = [*agreement, "--identity", home / "client", *servers]
    done = call("catalogue", "ask", home / "copy.jpg", *asker, status=2)
    assert "was not offered any state" in done.stderr
    done = call("catalogue", "offer", home / "catalogue", *agreement, *servers, status=2)
    assert "--identity is needed" in done.stderr
    done = call("catalogue", "offer", home / "catalogue", *holder, *servers)
    assert done.stdout == "State 1 of catalogue is checked.\n"
    found = json.loads(call("catalogue", "ask", home / "copy.jpg", *asker, "--who", "--json").stdout)
    assert (found["mode"], found["matches"], found["entries"], found["bits"]) == ("shares", True, 3, 256)
    assert found["places"] == [[0, 2]]
    assert len(found["commitments"]) == 3
    done = call("catalogue", "ask", home / "stranger.jpg", *asker, status=1)
    assert done.stdout.startswith("Nothing in the catalogue matches. 3 entries")
    assert "the shares that the holder signed" in done.stdout
    assert "host:port" in call("catalogue", "ask", home / "copy.jpg", *asker[:-1], "here", status=2).stderr
    assert "address of each" in call("catalogue", "ask", home / "copy.jpg", *asker[:-2], status=2).stderr
    events = json.loads(call("shareholder", "journal", home / "museum", "--json").stdout)["entries"]
    assert [entry["event"] for entry in events][2:] == ["admitted", *["asked", "released"] * 3]
    call("catalogue", "delete", home / "catalogue", "coffee.jpg", *holder)
    call("catalogue", "offer", home / "catalogue", *holder, *servers)
    call("catalogue", "ask", home / "copy.jpg", *asker, status=1)
    done = call("catalogue", "compact", home / "catalogue", home / "pictures", *holder)
    assert "2 entries in 1 blocks, state 3" in done.stdout
    call("catalogue", "offer", home / "catalogue", *holder, *servers)
    call("catalogue", "ask", home / "pictures" / "chelsea.jpg", *asker, "--for", "ann")
