"""A keyholder behind a local Unix socket, and the same keyholder as those who ask see it.

The socket is for this machine alone; between machines put a tunnel with mutual authentication in front of it. What is
said is signed or sealed in itself, so that a tunnel that is broken lets nobody forge an answer or read one.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from provenance.private_lookup import errors, frames
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, PrivateLookupError
from provenance.private_lookup.identity import MOST_MESSAGE
from provenance.private_lookup.parties import Keyholder

# Each step's groups of messages.
_STEPS = {"commit": 1, "reveal": 1, "check": 1, "answer": 2, "admit": 1}
_SECONDS_TO_SPEAK = 60.0
_SECONDS_TO_ANSWER = 1800.0


def serve(keyholder: Keyholder, path: Path, stop: threading.Event | None = None) -> None:
    """Answer at a socket, one request after the other, until ``stop`` is set.

    Args:
        path: of the socket; whoever may write to it may ask.
    """
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen()
        listener.settimeout(0.5)
        while stop is None or not stop.is_set():
            try:
                connection, _address = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(_SECONDS_TO_SPEAK)
            # One who speaks no frames, or goes away, costs the others nothing but this.
            with connection, suppress(OSError, frames.FrameError):
                _answer(keyholder, connection)
    path.unlink(missing_ok=True)


def _answer(keyholder: Keyholder, connection: socket.socket) -> None:
    with connection.makefile("rwb") as stream:
        request = frames.read(stream, MOST_MESSAGE)
        if request is None:
            return
        head, parts = request
        try:
            stream.write(frames.pack({"ok": True}, [_carry_out(keyholder, head, parts)]))
        except PrivateLookupError as problem:
            stream.write(frames.pack({"ok": False, "error": type(problem).__name__, "message": str(problem)}))


def _carry_out(keyholder: Keyholder, head: dict[str, Any], parts: list[bytes]) -> bytes:
    step, sizes = head.get("do"), head.get("sizes")
    groups = _STEPS.get(step) if isinstance(step, str) else None
    if not isinstance(sizes, list) or len(sizes) != groups or any(type(size) is not int or size < 0 for size in sizes):
        raise BadInput("This is no step of a keyholder.")
    if sum(sizes) != len(parts) or (step == "commit" and sizes != [1]):
        raise BadInput("A step has too few messages, or too many.")
    match step:
        case "commit":
            return keyholder.commit(parts[0])
        case "reveal":
            return keyholder.reveal(parts)
        case "check":
            return keyholder.check(parts)
        case "answer":
            return keyholder.answer(parts[: sizes[0]], parts[sizes[0] :])
        case _:
            return keyholder.admit(parts)


class RemoteKeyholder:
    """A keyholder at a socket.

    Args:
        path: of its socket.
        seconds: how long a step may take.

    Every step raises what the keyholder raises, and KeyholderUnreachable where none answers.
    """

    def __init__(self, path: Path, seconds: float = _SECONDS_TO_ANSWER) -> None:
        self._path = path
        self._seconds = seconds

    def commit(self, request: bytes) -> bytes:
        """Begin."""
        return self._ask("commit", [request])

    def reveal(self, commits: Sequence[bytes]) -> bytes:
        """Return the nonce."""
        return self._ask("reveal", commits)

    def check(self, reveals: Sequence[bytes]) -> bytes:
        """Return shares of what must be zero."""
        return self._ask("check", reveals)

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return sealed shares of the answer."""
        return self._ask("answer", checks, outputs)

    def admit(self, checks: Sequence[bytes]) -> bytes:
        """Take a catalogue's state down as checked."""
        return self._ask("admit", checks)

    def _ask(self, step: str, *groups: Sequence[bytes]) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self._seconds)
                connection.connect(str(self._path))
                with connection.makefile("rwb") as stream:
                    sizes = [len(group) for group in groups]
                    stream.write(
                        frames.pack({"do": step, "sizes": sizes}, [part for group in groups for part in group])
                    )
                    stream.flush()
                    reply = frames.read(stream, MOST_MESSAGE)
        except (OSError, frames.FrameError) as problem:
            raise KeyholderUnreachable(f"The keyholder at {self._path} does not answer: {problem}.") from problem
        if reply is None:
            raise KeyholderUnreachable(f"The keyholder at {self._path} went away in the middle. Ask anew.")
        head, parts = reply
        if head.get("ok") is True and len(parts) == 1:
            return parts[0]
        kind = getattr(errors, str(head.get("error")), PrivateLookupError)
        known = kind if isinstance(kind, type) and issubclass(kind, PrivateLookupError) else PrivateLookupError
        raise known(str(head.get("message")))
