"""How the engine is spoken to, and how blocks lie in files: length-prefixed frames of a JSON head and binary parts.

A frame is ``PVL1``, the length of the head (uint32), the number of parts (uint32), the length of each part (uint64),
all big-endian, then the head as UTF-8 JSON, then the parts. No length is believed before it was compared with a limit.

The engine's own interpreter reads this module too: Python 3.10 and the standard library are all that it may use.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

MAGIC = b"PVL1"
MOST_HEAD = 1 << 20
MOST_PARTS = 1 << 12
MOST_BYTES = 1 << 32
_PIECE = 1 << 16
_START = struct.Struct(">4sII")


class Readable(Protocol):
    """Where a frame comes from: a file, or a socket's."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only where the stream ends."""


class FrameError(ValueError):
    """Bytes that are no frame, or end too early."""


def pack(head: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """Return a frame."""
    return b"".join([start(head, [len(part) for part in parts]), *parts])


def start(head: dict[str, Any], sizes: Sequence[int]) -> bytes:
    """Return what stands before the parts of a frame, whose sizes are in bytes."""
    said = json.dumps(head, separators=(",", ":"), sort_keys=True).encode()
    return _START.pack(MAGIC, len(said), len(sizes)) + struct.pack(f">{len(sizes)}Q", *sizes) + said


def read_start(stream: Readable, most: int = MOST_BYTES) -> tuple[dict[str, Any], list[int]] | None:
    """Read up to the parts and return the head and the parts' sizes; None where the stream has ended.

    Raises:
        FrameError: this is no frame, it is cut off, or it is larger than ``most`` bytes.
    """
    begun = stream.read(_START.size)
    if not begun:
        return None
    if len(begun) < _START.size or not begun.startswith(MAGIC):
        raise FrameError("not a frame of this version")
    _magic, head_size, count = _START.unpack(begun)
    if head_size > MOST_HEAD or count > MOST_PARTS:
        raise FrameError("a head or a number of parts over the limit")
    sizes = list(struct.unpack(f">{count}Q", _exactly(stream, 8 * count)))
    if sum(sizes) > most:
        raise FrameError(f"{sum(sizes)} bytes, over the limit of {most}")
    try:
        head = json.loads(_exactly(stream, head_size))
    except (ValueError, RecursionError) as problem:
        raise FrameError("a head that is no JSON") from problem
    if not isinstance(head, dict):
        raise FrameError("a head that is no object")
    return head, sizes


def read_parts(stream: Readable, sizes: Sequence[int]) -> Iterator[bytes]:
    """Read the parts one by one.

    Raises:
        FrameError: the stream ends first.
    """
    for size in sizes:
        yield _exactly(stream, size)


def skip(stream: Readable, size: int) -> None:
    """Read so many bytes, or what there is of them, and keep none."""
    while size > 0 and (some := stream.read(min(size, _PIECE))):
        size -= len(some)


def read(stream: Readable, most: int = MOST_BYTES) -> tuple[dict[str, Any], list[bytes]] | None:
    """Read a whole frame; None where the stream has ended. Raises what :func:`read_start` raises."""
    begun = read_start(stream, most)
    if begun is None:
        return None
    head, sizes = begun
    return head, list(read_parts(stream, sizes))


def _exactly(stream: Readable, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise FrameError("cut off")
    return data
