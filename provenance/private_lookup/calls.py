"""One request and its reply over a stream, with problems as sentences on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from provenance.private_lookup import errors, frames
from provenance.private_lookup.errors import KeyholderUnreachable, PrivateLookupError
from provenance.private_lookup.identity import MOST_MESSAGE


class Stream(frames.Readable, Protocol):
    """A connection's two directions."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""

    def flush(self) -> None:
        """Send what was written."""

    def close(self) -> None:
        """End it."""


def answer(stream: Stream, carry_out: Callable[[], bytes]) -> None:
    """Write what ``carry_out`` returns, or the problem that it raises."""
    try:
        reply = carry_out()
    except PrivateLookupError as problem:
        refuse(stream, problem)
    else:
        stream.write(frames.pack({"ok": True}, [reply]))
        stream.flush()


def refuse(stream: Stream, problem: PrivateLookupError) -> None:
    """Write a problem as the reply."""
    stream.write(frames.pack({"ok": False, "error": type(problem).__name__, "message": str(problem)}))
    stream.flush()


def ask(stream: Stream, who: str, head: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """Send a request and return the reply.

    Args:
        who: is asked, for sentences.

    Raises:
        KeyholderUnreachable: the other went away in the middle, or speaks otherwise.
        PrivateLookupError: what the other raised.
    """
    try:
        stream.write(frames.pack(head, parts))
        stream.flush()
        reply = frames.read(stream, MOST_MESSAGE)
    except (OSError, frames.FrameError) as problem:
        raise KeyholderUnreachable(f"{who} does not answer: {problem}.") from problem
    if reply is None:
        raise KeyholderUnreachable(f"{who} went away in the middle. Ask anew.")
    said, found = reply
    if said.get("ok") is True and len(found) == 1:
        return found[0]
    kind = getattr(errors, str(said.get("error")), PrivateLookupError)
    known = kind if isinstance(kind, type) and issubclass(kind, PrivateLookupError) else PrivateLookupError
    raise known(str(said.get("message")))
