"""Frames: what goes in comes out; what is cut, foreign or too large is refused before it is believed."""

from __future__ import annotations

import io
import struct

import pytest

from provenance.private_lookup import frames

HEAD = {"do": "something", "text": "Zürich"}
PARTS = [b"", b"abc", bytes(1000)]


def test_what_goes_in_comes_out() -> None:
    stream = io.BytesIO(frames.pack(HEAD, PARTS) + frames.pack({}))
    assert frames.read(stream) == (HEAD, PARTS)
    assert frames.read(stream) == ({}, [])
    assert frames.read(stream) is None


def test_every_cut_is_noticed() -> None:
    whole = frames.pack(HEAD, [b"abc", b"de"])
    for size in range(1, len(whole)):
        with pytest.raises(frames.FrameError):
            frames.read(io.BytesIO(whole[:size]))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "not a frame"),
        (b"PVL2" + frames.pack({})[4:], "not a frame"),
        (struct.pack(">4sII", b"PVL1", 1 << 31, 0), "over the limit"),
        (struct.pack(">4sII", b"PVL1", 2, 1 << 31), "over the limit"),
        (struct.pack(">4sIIQ", b"PVL1", 2, 1, 1 << 40) + b"{}", "over the limit"),
        (struct.pack(">4sII", b"PVL1", 2, 0) + b"[]", "no object"),
        (struct.pack(">4sII", b"PVL1", 2, 0) + b"{'", "no JSON"),
        (struct.pack(">4sII", b"PVL1", 1 << 20, 0) + b"[" * (1 << 20), "no JSON"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(frames.FrameError, match=why):
        frames.read(io.BytesIO(data))


def test_a_limit_can_be_lower() -> None:
    with pytest.raises(frames.FrameError, match="limit of 10"):
        frames.read(io.BytesIO(frames.pack({}, [bytes(11)])), most=10)
