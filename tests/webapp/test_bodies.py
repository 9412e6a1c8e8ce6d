"""Bodies that are too large: refused in words, and never stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from webapp import bodies
from webapp.asgi import application
from webapp.bodies import BodyLimit, body_limit

_MIB = 1024**2


@pytest.fixture(autouse=True)
def small_limits(settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1024
    settings.CHECK_MAX_FILES = 1


class Asked:
    """A request over ASGI: it sends a body in pieces and keeps what is answered."""

    def __init__(self, path: str, *, length: int | None, headers: dict[str, str] | None = None) -> None:
        named = {"host": "localhost", "content-type": "multipart/form-data; boundary=x", **(headers or {})}
        if length is not None:
            named["content-length"] = str(length)
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, pieces: list[int], ends: bool = True) -> int:
        """Send pieces of these sizes; return how many were taken before the answer was complete."""
        communicator = ApplicationCommunicator(application, self.scope)
        for number, size in enumerate(pieces):
            more = number < len(pieces) - 1 or not ends
            await communicator.send_input({"type": "http.request", "body": b"x" * size, "more_body": more})
        more = True
        while more:
            message = await communicator.receive_output(20)
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            else:
                self.body += message.get("body", b"")
                more = message.get("more_body", False)
        left = communicator.input_queue.qsize()
        await communicator.wait(20)
        return len(pieces) - left


async def test_a_declared_size_past_the_limit_is_refused_on_a_page() -> None:
    asked = Asked("/check/", length=3 * _MIB, headers={"accept": "text/html"})
    taken = await asked.send([_MIB] * 3)
    assert asked.status == 413
    assert "Send less at a time" in asked.body.decode()
    assert asked.headers["content-type"].startswith("text/html")
    assert int(asked.headers["content-length"]) == len(asked.body), "or its reader would wait for more"
    assert taken == 3, "a browser shows the answer only once it could send everything"


async def test_a_size_that_was_not_declared_is_counted() -> None:
    asked = Asked("/check/", length=None, headers={"accept": "application/json"})
    await asked.send([_MIB] * 5)
    assert asked.status == 413
    assert json.loads(asked.body)["code"] == "file_too_large"
    assert asked.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/artworks/new/", "/api/v1/artworks", "/api/v1/artworks/some-id/proofs"])
async def test_a_signature_of_2_gb_is_refused_before_it_is_sent(path: str, settings: Any) -> None:
    asked = Asked(path, length=2 * 1024 * _MIB, headers={"expect": "100-continue", "accept": "application/json"})
    assert await asked.send([_MIB] * 3, ends=False) == 0
    assert (asked.status, json.loads(asked.body)["code"]) == (413, "file_too_large")
    settings.SIGNATURE_MAX_BYTES = 5000
    assert body_limit(path) == 5000 + _MIB


async def test_a_false_declaration_is_counted_too() -> None:
    asked = Asked("/check/", length=10, headers={"accept": "application/json"})
    await asked.send([_MIB] * 5)
    assert asked.status == 413


async def test_whoever_asks_first_is_told_before_sending_anything() -> None:
    asked = Asked("/api/v1/checks", length=3 * _MIB, headers={"expect": "100-continue"})
    assert await asked.send([_MIB] * 3) == 0
    assert asked.status == 413
    assert json.loads(asked.body)["code"] == "file_too_large"


async def test_whoever_stops_sending_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_IDLE_SECONDS", 0.05)
    asked = Asked("/check/", length=3 * _MIB, headers={"accept": "text/html"})
    await asked.send([_MIB], ends=False)
    assert asked.status == 413


@pytest.mark.django_db(transaction=True)
async def test_what_is_within_the_limit_reaches_the_page() -> None:
    asked = Asked("/check/", length=None, headers={"accept": "text/html"})
    await asked.send([1000] * 5)
    assert asked.status == 403, "it was read, and has no token"


async def test_django_is_given_no_byte_past_the_limit() -> None:
    given: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            given.append(len(message["body"]))
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    communicator = ApplicationCommunicator(
        BodyLimit(app), {"type": "http", "path": "/accounts/login/", "headers": [], "method": "POST"}
    )
    for _ in range(10):
        await communicator.send_input({"type": "http.request", "body": b"x" * _MIB, "more_body": True})
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    await communicator.receive_output(20)
    assert sum(given) == 4 * _MIB
    await communicator.wait(20)


def test_limits_follow_the_settings(settings: Any) -> None:
    assert body_limit("/check/") == body_limit("/api/v1/checks") == 1024 + _MIB
    settings.UPLOAD_MAX_BYTES, settings.CHECK_MAX_FILES = 9 * _MIB, 2
    assert body_limit("/signatures/x/test/") == 19 * _MIB
    assert body_limit("/api/v1/signatures/read") == 10 * _MIB
    settings.IMPORT_MAX_BYTES = 100 * _MIB
    assert body_limit("/catalogues/import/") == 116 * _MIB
    assert body_limit("/accounts/login/") == 4 * _MIB
