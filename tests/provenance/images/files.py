"""Picture files for tests, made here byte by byte or by Pillow from small synthetic pictures."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image

RGB = npt.NDArray[np.uint8]


def gradient(height: int = 48, width: int = 64) -> RGB:
    """A smooth picture without symmetry, so that a wrong turn or a wrong channel shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 230, width)
    pixels[..., 1] = np.linspace(200, 40, height)[:, None]
    pixels[..., 2] = 90
    pixels[: height // 3, : width // 4] = (250, 250, 10)
    return pixels


def save(image: Image.Image | RGB, format: str, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    buffer = BytesIO()
    # Copies, since Pillow's encoders leave their settings on what they saved.
    picture = image.copy() if isinstance(image, Image.Image) else Image.fromarray(image)
    if "append_images" in options:
        options["append_images"] = [frame.copy() for frame in options["append_images"]]
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: list[bytes], *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG with the given unfiltered rows; `extra` chunks go before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, body) for kind, body in ((b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b""))
    )


def tiff_grey(
    values: npt.NDArray[Any], bits: int, *, sample_format: int = 1, photometric: int = 1, order: str = "<"
) -> bytes:
    """An uncompressed one-sample TIFF of `values` [H,W], written in the given byte order."""
    height, width = values.shape
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(body)), (339, 3, sample_format),
    ]  # fmt: skip
    offset = 8 + 2 + 12 * len(tags) + 4
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        value = offset if tag == 273 else value
        packed = struct.pack(order + "H", value) + b"\0\0" if kind == 3 else struct.pack(order + "I", value)
        directory += struct.pack(order + "HHI", tag, kind, 1) + packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + directory + struct.pack(order + "I", 0) + body


def gif_bomb(frames: int) -> bytes:
    """A one-pixel GIF that repeats its frame: 15 bytes each."""
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b"\x3b"


def tiff_chain(frames: int) -> bytes:
    """A TIFF of `frames` directories, each without an entry."""
    links = [struct.pack("<HI", 0, 8 + 6 * (i + 1) if i + 1 < frames else 0) for i in range(frames)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(links)


def matrix_profile(
    columns: npt.NDArray[np.float64], tone: float | npt.NDArray[np.float64], space: bytes = b"RGB "
) -> bytes:
    """A minimal ICC v2 display profile: XYZ (D50) of the primaries as columns, one tone curve for all channels.

    `tone` is a gamma, or the linear values 0..1 at evenly spaced samples.
    """

    def fixed(x: float) -> bytes:
        return struct.pack(">i", round(x * 65536))

    def xyz(v: npt.NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(float(x)) for x in v)

    levels = np.rint(tone * 65535).astype(">u2") if isinstance(tone, np.ndarray) else np.array([tone * 256], ">u2")
    curve = b"curv\0\0\0\0" + struct.pack(">I", levels.size) + levels.tobytes()
    white = xyz(np.array([0.9642, 1.0, 0.8249]))
    if space == b"RGB ":
        names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt")
        bodies = [*(xyz(columns[:, i]) for i in range(3)), curve, curve, curve, white]
    else:
        names, bodies = (b"kTRC", b"wtpt"), [curve, white]
    names = (*names, b"desc", b"cprt")
    bodies += [b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78 + b"\0" * 1, b"text\0\0\0\0none\0\0\0\0"]
    bodies = [body + b"\0" * (-len(body) % 4) for body in bodies]
    offset = 128 + 4 + 12 * len(names)
    table = struct.pack(">I", len(names))
    for name, body in zip(names, bodies, strict=True):
        table += name + struct.pack(">II", offset, len(body))
        offset += len(body)
    header = struct.pack(">I4s4s4s4s4s", offset, b"\0\0\0\0", b"\x02\x40\0\0", b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header.ljust(128, b"\0") + table + b"".join(bodies)
