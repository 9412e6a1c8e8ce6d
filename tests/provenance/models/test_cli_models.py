"""``provenance models``: what it prints, for people and programs, and how it ends."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from provenance.cli import app
from tests.provenance.models.conftest import CONTENT, SHIPPED, Shelf, ship

runner = CliRunner()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def run(*words: str, code: int) -> tuple[str, str]:
    done = runner.invoke(app, ["models", *words])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


def asked(*words: str, code: int = 0) -> Any:
    return json.loads(run(*words, "--json", code=code)[0])


def test_list_tells_what_there_is_and_where(shelf: Shelf) -> None:
    ship(shelf)
    pinned, unpinned, shipped = asked("list")
    assert pinned["name"] == "pinned"
    assert pinned["file"] == "net.bin"
    assert pinned["size"] == len(CONTENT)
    assert (pinned["pinned"], pinned["sha256"]) == ("published digest", DIGEST)
    assert (unpinned["pinned"], unpinned["sha256"]) == ("at first use", None)
    assert unpinned["path"] is None
    assert unpinned["command"] == "provenance models pull unpinned"
    assert (shipped["path"], shipped["size"]) == (str(shelf.package / "small.bin"), len(SHIPPED))
    words = run("list", code=0)[0]
    assert "unpinned  3 MB, MIT" in words
    assert "pinned at first use: no digest yet" in words
    assert words.count("not here") == 2


def test_pull_says_where_the_file_is(shelf: Shelf) -> None:
    assert run("pull", "pinned", code=0)[0] == f"pinned is here: {shelf.file}\n"
    assert shelf.file.read_bytes() == CONTENT
    (row,) = asked("pull", "unpinned")
    assert row["sha256"] == DIGEST
    assert row["path"] == str(shelf.file)
    assert len(shelf.server.requests) == 1


def test_pull_all_takes_every_model(shelf: Shelf) -> None:
    ship(shelf)
    assert [row["name"] for row in asked("pull", "--all")] == ["pinned", "unpinned", "shipped"]


def test_pull_asks_for_a_name(shelf: Shelf) -> None:
    assert "Name a model: pinned, unpinned, shipped" in run("pull", code=2)[1]


@pytest.mark.parametrize("trouble", ["offline", "refused", "unknown"])
def test_a_pull_that_cannot_be_is_one_sentence(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    if trouble == "offline":
        monkeypatch.setenv("PROVENANCE_OFFLINE", "1")
    shelf.server.statuses = [403]
    stdout, stderr = run("pull", "nothing" if trouble == "unknown" else "pinned", code=2)
    assert stdout == ""
    words = {"offline": "PROVENANCE_OFFLINE forbids it", "refused": "answered 403", "unknown": "There is no model"}
    assert words[trouble] in stderr
    assert stderr.count("\n") == 1


def test_path_prints_the_path_alone(shelf: Shelf) -> None:
    stdout, stderr = run("path", "pinned", code=1)
    assert stdout == ""
    assert "provenance models pull pinned" in stderr
    run("pull", "pinned", code=0)
    assert run("path", "pinned", code=0) == (f"{shelf.file}\n", "")
    assert asked("path", "pinned") == {"name": "pinned", "path": str(shelf.file), "sha256": DIGEST}
    shelf.file.write_bytes(b"damaged")
    assert "is not a good pinned" in run("path", "pinned", code=1)[1]
    run("path", "nothing", code=2)


def test_verify_wants_what_ships_and_what_is_named(shelf: Shelf) -> None:
    ship(shelf)
    rows = asked("verify")
    assert [row["state"] for row in rows] == ["missing", "missing", "verified"]
    assert rows[0]["command"] == "provenance models pull pinned"
    asked("verify", "pinned", code=1)
    run("pull", "pinned", code=0)
    assert run("verify", "pinned", code=0)[0] == f"pinned: verified, SHA-256 {DIGEST}\n"
    shelf.file.write_bytes(b"damaged")
    assert [row["state"] for row in asked("verify", "pinned", "shipped", code=1)] == ["corrupt", "verified"]
    run("verify", "nothing", code=2)


def test_verify_fails_without_a_shipped_file(shelf: Shelf) -> None:
    assert [row["state"] for row in asked("verify", code=1)] == ["missing"] * 3
