"""The command line, with real files and, for `check`, a real server on a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from skimage import data
from typer.testing import CliRunner

from provenance.cli import _pause, app
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import encode_jpeg
from provenance.images.edits import apply
from webapp.api import examples

run = CliRunner()
KEY = "pvk_secret"
Answer = tuple[int, Any, dict[str, str]]


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
    assert [row["usable"] for row in rows] == [True] * len(HASHERS) + [False] * len(HASHERS)
    assert len(rows[0]["hash"]) == 64
    assert rows[-1]["hash"] is None


def test_hash_says_which_file_is_no_picture_and_does_the_others(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["hash", *(str(pictures[name]) for name in ("text", "missing", "original"))])
    assert done.exit_code == 2
    assert "text.jpg" in done.stderr.replace("\n", "")
    assert "cannot be read" in " ".join(done.stderr.split())
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(HASHERS)
    assert [len(line.split()[2]) for line in lines] == [hasher.length // 4 for hasher in HASHERS.values()]


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
        ("plain", "original", "undecidable", 3),
    ],
)
def test_compare(pictures: dict[str, Path], first: str, second: str, verdict: str, status: int) -> None:
    done = run.invoke(app, ["compare", str(pictures[first]), str(pictures[second]), "--json"])
    assert done.exit_code == status
    answer = json.loads(done.stdout)
    assert answer["verdict"] == verdict
    assert {row["algorithm"] for row in answer["distances"]} == set(HASHERS)
    for row in answer["distances"]:
        assert row["usable"] == (first != "plain")
        if row["usable"]:
            assert 0 <= row["false_match_rate_measured"] <= row["false_match_rate_upper_bound"] <= 1
            assert row["near_radius"] < row["candidate_radius"]
    in_words = run.invoke(app, ["compare", str(pictures[first]), str(pictures[second])])
    assert in_words.exit_code == status
    assert " ".join(in_words.stdout.split()).startswith(answer["words"])
    assert ("95 % bound" in in_words.stdout) == (first != "plain") or verdict == "undecidable"


def test_compare_refuses_what_is_no_picture(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["compare", str(pictures["original"]), str(pictures["text"])])
    assert done.exit_code == 2
    assert "text.jpg" in done.stderr.replace("\n", "")


class Registry(ThreadingHTTPServer):
    """Answers a submission, then each question for the check with the next of ``answers``, the last again and again."""

    def __init__(self, *answers: Answer, begun: Answer = (202, examples.CHECK_BEGUN.value, {})) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.begun = list(answers), begun
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(("POST", self.path, dict(self.headers), body))
        self.answer(self.server.begun)

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, dict(self.headers), b""))
        self.answer(self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0])

    def answer(self, answer: Answer) -> None:
        status, body, headers = answer
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in ({"Retry-After": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def registry(*answers: Answer, **options: Any) -> Iterator[Registry]:
    server = Registry(*answers, **options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask(server: Registry, path: Path, *more: str, key: str = KEY) -> Any:
    url = f"http://127.0.0.1:{server.server_port}/"
    return run.invoke(app, ["check", str(path), "--url", url, *more], env={"PROVENANCE_KEY": key})


def done_with(code: str) -> Answer:
    found = examples.CHECK_DONE.value
    return 200, {**found, "verdict": {**found["verdict"], "code": code, "label": "The words"}}, {}


RUNNING: Answer = (200, examples.CHECK_RUNNING.value, {})


@pytest.mark.parametrize(
    ("code", "status"), [("registered", 0), ("probably_registered", 0), ("not_found", 1), ("cannot_tell", 3)]
)
def test_check_waits_for_the_verdict(pictures: dict[str, Path], code: str, status: int) -> None:
    with registry(RUNNING, done_with(code)) as server:
        done = ask(server, pictures["original"])
        as_json = ask(server, pictures["original"], "--json")
    assert done.exit_code == as_json.exit_code == status
    assert done.stdout.startswith("The words\n")
    said = " ".join(done.stdout.split())
    found = json.loads(as_json.stdout)
    assert found["verdict"]["code"] == code
    assert found["verdict"]["explanation"] in said
    assert found["evidence"][0]["summary"] in said
    assert found["links"]["page"] in said
    method, path, headers, body = server.seen[0]
    assert (method, path) == ("POST", "/api/v1/checks")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert len(headers["Idempotency-Key"]) >= 16
    assert pictures["original"].read_bytes() in body
    assert [path for method, path, *_rest in server.seen[1:3]] == [f"/api/v1/checks/{found['id']}"] * 2
    assert KEY not in done.output + as_json.output


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_check_says_why_there_is_no_verdict(pictures: dict[str, Path], state: str) -> None:
    error = {"code": "picture_unreadable", "message": "Save it as PNG."} if state == "failed" else None
    with registry((200, {**examples.CHECK_BEGUN.value, "state": state, "error": error}, {})) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert ("Save it as PNG." if error else "cancelled") in done.stdout


def test_check_comes_back_when_a_busy_site_says_so(pictures: dict[str, Path]) -> None:
    busy = (429, {"code": "rate_limited", "detail": "Too many requests."}, {"Retry-After": "0"})
    long_ago = (503, b"<html>", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    with registry(busy, long_ago, RUNNING, done_with("registered")) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 0
    assert [method for method, *_rest in server.seen] == ["POST", *["GET"] * 4]


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7), ("0", 0), ("86400", 30), ("soon", 1), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_pauses_are_those_the_site_asks_for_within_reason(said: str, seconds: float) -> None:
    assert _pause(httpx.Response(200, headers={"Retry-After": said})) == seconds


def test_check_gives_up_at_its_deadline_and_says_where_the_verdict_will_be(pictures: dict[str, Path]) -> None:
    with registry((200, examples.CHECK_RUNNING.value, {"Retry-After": "5"})) as server:
        done = ask(server, pictures["original"], "--timeout", "3")
    assert done.exit_code == 2
    assert f"/api/v1/checks/{examples.CHECK_BEGUN.value['id']}" in done.stderr.replace("\n", "")


def test_check_passes_on_a_refusal(pictures: dict[str, Path]) -> None:
    with registry(begun=(401, {"code": "key_expired", "detail": "This key has expired."}, {})) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert "This key has expired." in done.stderr
    assert KEY not in done.output


@pytest.mark.parametrize("begun", [(200, b"<html>", {}), (200, [], {}), (302, b"", {"Location": "/"}), (404, b"", {})])
def test_check_tells_another_kind_of_site(pictures: dict[str, Path], begun: Answer) -> None:
    with registry(begun=begun) as server:
        done = ask(server, pictures["original"])
    assert done.exit_code == 2
    assert "Is the address right?" in " ".join(done.stderr.split())
    assert len(server.seen) == 1


@pytest.mark.parametrize("key", ["Schlüssel", "pvk_a\nX-Other: 1"])
def test_check_refuses_a_key_that_is_none_and_does_not_repeat_it(pictures: dict[str, Path], key: str) -> None:
    with registry() as server:
        done = ask(server, pictures["original"], key=key)
    assert done.exit_code == 2
    assert "no key has" in done.stderr
    assert key not in done.output
    assert server.seen == []


def test_check_needs_a_key(pictures: dict[str, Path]) -> None:
    done = run.invoke(app, ["check", str(pictures["original"]), "--url", "http://127.0.0.1:9"], env={})
    assert done.exit_code == 2
    assert "--key" in done.stderr


@pytest.mark.parametrize("url", ["ftp://site.example", "site.example", "http://[", "http://127.0.0.1:{port}"])
def test_check_says_that_nobody_answers(pictures: dict[str, Path], url: str) -> None:
    with registry() as server:
        port = server.server_port
    done = run.invoke(
        app, ["check", str(pictures["original"]), "--url", url.format(port=port)], env={"PROVENANCE_KEY": KEY}
    )
    assert done.exit_code == 2
    assert "does not answer" in " ".join(done.stderr.split())


def test_check_says_that_the_file_is_missing(pictures: dict[str, Path]) -> None:
    with registry() as server:
        done = ask(server, pictures["missing"])
    assert done.exit_code == 2
    assert server.seen == []
