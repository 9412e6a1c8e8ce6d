"""The command line, with real files and, for `check`, a real server on a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data
from typer.testing import CliRunner

from provenance.cli import app
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import encode_jpeg
from provenance.images.edits import apply

run = CliRunner()
KEY = "pvk_secret"


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    made = {
        "original": data.coffee(),
        "copy": apply("screenshot", data.coffee(), 1),
        "stranger": data.astronaut(),
        "plain": np.full((200, 200, 3), 90, np.uint8),
    }
    paths = {name: tmp_path / f"{name}.jpg" for name in made}
    for name, pixels in made.items():
        paths[name].write_bytes(encode_jpeg(pixels))
    paths["text"] = tmp_path / "text.jpg"
    paths["text"].write_text("no picture")
    paths["missing"] = tmp_path / "missing.jpg"
    return paths


def test_hash_prints_every_algorithm(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["hash", str(pictures["original"]), str(pictures["plain"]), "--json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [row["algorithm"] for row in rows] == [*HASHERS, *HASHERS]
    assert [row["usable"] for row in rows] == [True, True, False, False]
    assert len(rows[0]["hash"]) == 64
    assert rows[2]["hash"] is None


def test_hash_says_which_file_is_no_picture_and_does_the_others(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["hash", *(str(pictures[name]) for name in ("text", "missing", "original"))])
    assert done.exit_code == 2
    assert "text.jpg" in done.stderr.replace("\n", "")
    assert "cannot be read" in done.stderr.replace("\n", " ")
    assert "pdq-v1" in done.stdout


def test_hash_refuses_an_unknown_algorithm(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["hash", str(pictures["original"]), "--algorithm", "md5"])
    assert done.exit_code == 2
    assert "pdq-v1" in done.stderr


@pytest.mark.parametrize(
    ("first", "second", "verdict", "status"),
    [
        ("copy", "original", "verified", 0),
        ("original", "original", "identical", 0),
        ("original", "stranger", "rejected", 1),
        ("plain", "original", "undecidable", 1),
    ],
)
def test_compare(pictures: dict[str, Path], first: str, second: str, verdict: str, status: int) -> None:
    done = run.invoke(app, ["compare", str(pictures[first]), str(pictures[second]), "--json"])
    assert done.exit_code == status
    answer = json.loads(done.stdout)
    assert answer["verdict"] == verdict
    assert {row["algorithm"] for row in answer["distances"]} == set(HASHERS)
    assert run.invoke(app, ["compare", str(pictures[first]), str(pictures[second])]).exit_code == status


def test_compare_refuses_what_is_no_picture(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["compare", str(pictures["original"]), str(pictures["text"])])
    assert done.exit_code == 2
    assert "text.jpg" in done.stderr.replace("\n", "")


class Registry(ThreadingHTTPServer):
    """Answers as the API does: 202, then running once, then what the test wants."""

    def __init__(self, final: dict[str, Any], refuse: tuple[int, dict[str, Any]] | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.final, self.refuse = final, refuse
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(("POST", self.path, dict(self.headers), body))
        if self.server.refuse:
            self.answer(*self.server.refuse)
        else:
            self.answer(202, {"id": "7", "state": "queued", "links": {}})

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, dict(self.headers), b""))
        first = sum(method == "GET" for method, *_rest in self.server.seen) == 1
        running = {"id": "7", "state": "running", "progress": {"percent": 40, "steps": []}, "links": {}}
        self.answer(200, running if first else self.server.final)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def registry(
    final: dict[str, Any] | None = None, refuse: tuple[int, dict[str, Any]] | None = None
) -> Iterator[Registry]:
    server = Registry(final or {}, refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask(server: Registry, path: Path, *more: str) -> Any:
    url = f"http://127.0.0.1:{server.server_port}"
    return run.invoke(app, ["check", str(path), "--url", url, *more], env={"PROVENANCE_KEY": KEY})


@pytest.mark.parametrize(
    ("verdict", "status"), [("registered", 0), ("probably_registered", 0), ("not_found", 1), ("cannot_tell", 1)]
)
def test_check_waits_for_the_verdict(pictures: dict[str, Path], verdict: str, status: int) -> None:
    final = {
        "id": "7",
        "state": "succeeded",
        "verdict": verdict,
        "verdict_words": "The words",
        "explanation": "Because.",
        "evidence": [{"summary": "A figure."}],
        "links": {"page": "http://site.example/check/7/"},
    }
    with registry(final) as server:
        done = ask(server, pictures["original"])
        as_json = ask(server, pictures["original"], "--json")
    assert done.exit_code == as_json.exit_code == status
    assert "The words" in done.stdout
    assert "A figure." in done.stdout
    assert json.loads(as_json.stdout)["verdict"] == verdict
    method, path, headers, body = server.seen[0]
    assert (method, path) == ("POST", "/api/v1/checks")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert len(headers["Idempotency-Key"]) >= 16
    assert pictures["original"].read_bytes() in body
    assert KEY not in done.output


def test_check_says_why_it_failed(pictures: dict[str, Path]) -> None:
    final = {"id": "7", "state": "failed", "error": {"code": "picture_unreadable", "message": "Save it as PNG."}}
    with registry(final) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert "Save it as PNG." in done.stdout


def test_check_passes_on_a_refusal(pictures: dict[str, Path]) -> None:
    with registry(refuse=(401, {"code": "key_expired", "detail": "This key has expired."})) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert "This key has expired." in done.stderr


def test_check_says_that_nobody_answers(pictures: dict[str, Path]) -> None:
    with registry() as server:
        pass
    done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert "does not answer" in done.stderr


def test_check_says_that_the_file_is_missing(pictures: dict[str, Path]) -> None:
    with registry() as server:
        done = ask(server, pictures["missing"])
    assert done.exit_code == 2
    assert server.seen == []
