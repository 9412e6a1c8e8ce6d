"""Facts read from a picture file's container without decoding a pixel.

Counting stops at a limit given by the caller, so that a file built of a million tiny records costs no more
than an honest one. Damaged structure ends a count early; the decoder then reports the damage.
"""

from __future__ import annotations

import re
import struct

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# Inside entropy-coded JPEG data FF is followed by 00 (a stuffed byte), RST0..7 or another FF (fill).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def sniff(data: bytes) -> str | None:
    """Format name by magic bytes: JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC; None for anything else.

    Only the first few dozen bytes are looked at; file names and declared types are never trusted.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and len(data) >= 18 and _u32le(data, 14) in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _sniff_bmff(data)
    return None


def _sniff_bmff(data: bytes) -> str | None:
    """AVIF and HEIC share the container of ISO/IEC 14496-12; its `ftyp` box tells them apart."""
    box = data[: min(int.from_bytes(data[:4], "big"), 256)]
    brands = [box[8:12], *(box[i : i + 4] for i in range(16, len(box) - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIC_BRANDS:
            return "HEIC"
    return None


def gif_frames(data: bytes, stop: int) -> int:
    """Number of image blocks in a GIF, counted no further than `stop`."""
    frames = 0
    try:
        pos = 13 + _colour_table(data[10])
        while frames < stop:
            introducer = data[pos]
            if introducer == 0x2C:
                pos = _skip_sub_blocks(data, pos + 11 + _colour_table(data[pos + 9]))
                frames += 1
            elif introducer == 0x21:
                pos = _skip_sub_blocks(data, pos + 2)
            else:
                break
    except IndexError:
        pass
    return frames


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, pos: int) -> int:
    while size := data[pos]:
        pos += size + 1
    return pos + 1


def tiff_frames(data: bytes, stop: int) -> int:
    """Number of image directories in a TIFF or BigTIFF, counted no further than `stop` or a loop."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count_format, entry, offset_format, start = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + offset_format, data, start)
        while offset and offset not in seen and len(seen) < stop:
            (entries,) = struct.unpack_from(order + count_format, data, offset)
            seen.add(offset)
            after = offset + struct.calcsize("=" + count_format) + entries * entry
            (offset,) = struct.unpack_from(order + offset_format, data, after)
    except (struct.error, OverflowError, IndexError):
        pass
    return len(seen)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the first chunk of a WebP file (RFC 9649); None where that chunk is damaged."""
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return _u24le(data, 24) + 1, _u24le(data, 27) + 1
    if chunk == b"VP8L" and len(data) >= 25:
        bits = _u32le(data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and len(data) >= 30:
        return _u32le(data, 26) & 0x3FFF, _u32le(data, 28) & 0x3FFF
    return None


def jpeg_scans(data: bytes, stop: int) -> int:
    """Number of scans of the first JPEG image in `data`, counted no further than `stop`.

    A progressive file of a few kilobytes can ask for a full pass over a huge picture hundreds of times;
    encoders write about ten scans.
    """
    scans, pos = 0, 2
    while scans < stop and (found := _JPEG_MARKER.search(data, pos)):
        marker = data[found.start() + 1]
        pos = found.end()
        if marker == 0xD9:
            break
        if marker == 0xDA:
            scans += 1
        if marker not in (0x01, 0xD8):
            pos += int.from_bytes(data[pos : pos + 2], "big")
    return scans


def _u24le(data: bytes, pos: int) -> int:
    return int.from_bytes(data[pos : pos + 3], "little")


def _u32le(data: bytes, pos: int) -> int:
    return int.from_bytes(data[pos : pos + 4], "little")
