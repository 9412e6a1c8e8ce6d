"""How large a request's body may be, by its address: what is larger is not stored, not even for a moment.

Django keeps a whole body in a temporary file before any view is asked. This stands before Django: it counts, and
past the limit it gives Django an empty body and a mark in the scope, which ``pages.middleware`` answers with 413.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

MARK = "provenance.body_limit"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]

_MIB = 1024**2
# What a browser sends beside its files: boundaries and short fields.
_FORM_BYTES = _MIB
# Forms without files.
_ORDINARY_BYTES = 4 * _MIB
# A browser shows an answer only when it could send all it wanted to; so much is taken and thrown away.
_THROWN_AWAY_BYTES = 1024 * _MIB
_IDLE_SECONDS = 5.0


def body_limit(path: str) -> int:
    """Return how many bytes a body for that path may have."""
    if path.startswith(("/check/", "/signatures/")):
        return settings.CHECK_MAX_FILES * settings.UPLOAD_MAX_BYTES + _FORM_BYTES
    if path.startswith(("/api/v1/checks", "/api/v1/signatures/")):
        return settings.UPLOAD_MAX_BYTES + _FORM_BYTES
    if path.startswith(("/catalogues/", "/api/v1/catalogues/")):
        return max(settings.IMPORT_MAX_BYTES, settings.UPLOAD_MAX_BYTES) + 16 * _MIB
    if path.startswith("/api/v1/private-catalogues/"):
        return settings.PRIVATE_BLOCK_MAX_BYTES if "/blocks/" in path else 64 * _MIB
    if path.startswith(("/artworks/", "/api/v1/artworks")):
        return settings.SIGNATURE_MAX_BYTES + _FORM_BYTES
    return _ORDINARY_BYTES


class BodyLimit:
    """An ASGI application around another that keeps bodies within :func:`body_limit`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass the request on, its body cut off where it passes the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        body = _Body(receive, body_limit(scope["path"]))
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > body.limit:
            body.passed = True
            scope[MARK] = body.limit

        async def receive_limited() -> Message:
            message = await body.receive()
            if body.passed:
                scope[MARK] = body.limit
            return message

        answer: list[Message] = []

        async def send_and_drain(message: Message) -> None:
            if not body.passed:
                await send(message)
                return
            answer.append(message)
            if message["type"] != "http.response.body" or message.get("more_body", False):
                return
            await _send_whole(answer, send)
            # Whoever asked first whether to send (RFC 9110, 10.1.1) is told not to by the answer itself.
            if b"expect" not in headers:
                await body.drain()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receive_limited, send_and_drain)


async def _send_whole(answer: list[Message], send: Send) -> None:
    """Send an answer with its length, so that its reader knows its end while we still take what is being sent."""
    start, *parts = answer
    content = b"".join(part.get("body", b"") for part in parts)
    others = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    length = (b"content-length", str(len(content)).encode())
    await send({**start, "headers": [*others, length]})
    await send({"type": "http.response.body", "body": content, "more_body": True})


class _Body:
    """What comes of a body: counted, cut off at the limit, and the rest thrown away."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.limit = limit
        self.passed = False
        self._receive = receive
        self._count = 0
        self._told_end = False
        self._over = False

    async def receive(self) -> Message:
        if self.passed:
            if self._told_end:
                # The application waits for a disconnection; this request's answer comes first.
                await asyncio.Event().wait()
            self._told_end = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._take()
        if message["type"] == "http.request" and self._count > self.limit:
            self.passed = self._told_end = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    async def drain(self) -> None:
        # Some clients stop sending once they are refused, and wait.
        with contextlib.suppress(TimeoutError):
            while not self._over and self._count < self.limit + _THROWN_AWAY_BYTES:
                await asyncio.wait_for(self._take(), _IDLE_SECONDS)

    async def _take(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        self._over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message
