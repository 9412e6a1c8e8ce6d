"""The only door for pixels: untrusted bytes in, uint8 sRGB out, or a DecodeError that says what to do.

The same bytes always give the same pixels with the same versions of Pillow, pillow-heif and their codecs.
What is honoured: EXIF (and XMP, HEIF, AVIF) orientation, ICC profiles, transparency (composited on white).
What is not: PNG gAMA/cHRM and HEIF/AVIF nclx primaries without an ICC profile; those are read as sRGB.
"""

from __future__ import annotations

import hashlib
import os
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from provenance.images.colour import split_alpha, to_srgb
from provenance.images.headers import gif_frames, jpeg_scans, sniff, tiff_frames, webp_size

__all__ = [
    "DecodeError",
    "DecodeErrorCode",
    "Limits",
    "Picture",
    "decode",
    "encode_jpeg",
    "memory_limit",
    "pixel_sha256",
    "sniff",
    "thumbnail",
]

RGB = npt.NDArray[np.uint8]

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
}
_MAX_JPEG_SCANS = 100
# What damaged input makes Pillow's plugins and their C codecs raise. Pillow promises no list: these are the
# exceptions that its readers name or that parsing untrusted bytes in Python leads to.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class DecodeErrorCode(StrEnum):
    """Why a file could not be decoded; stable, for programs."""

    EMPTY = "empty"
    TOO_LARGE_BYTES = "too_large_bytes"
    UNKNOWN_FORMAT = "unknown_format"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    MEMORY = "memory"


class DecodeError(Exception):
    """A file that gives no picture: `code` is for programs, `message` a sentence for whoever sent it."""

    def __init__(self, code: DecodeErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Limits:
    """What a file may ask for. Bytes are those of the file; the rest is read from its header before decoding.

    Pillow's own ceiling (2 x `PIL.Image.MAX_IMAGE_PIXELS`, 179 million pixels) holds beside `max_pixels`.
    """

    max_bytes: int = 50 * 2**20
    max_pixels: int = 100_000_000
    max_side: int = 30_000
    max_frames: int = 1000


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture.

    `pixels` is [H,W,3] uint8, sRGB, upright and read-only. `source_width` and `source_height` are those of
    the header, before orientation. `frames` counts the frames or pages of the file; `pixels` are those of the
    first (of the primary picture in HEIC).
    """

    pixels: RGB
    format: str
    media_type: str
    source_width: int
    source_height: int
    had_alpha: bool
    frames: int

    @cached_property
    def pixel_sha256(self) -> str:
        """See :func:`pixel_sha256`."""
        return pixel_sha256(self.pixels)


def pixel_sha256(pixels: RGB) -> str:
    """Hex SHA-256 over a domain tag, height, width (uint32, big endian) and the pixels, [H,W,3] uint8, in row order."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(b"provenance.pixels.rgb8.v1\0" + struct.pack(">II", height, width))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def decode(data: bytes, limits: Limits = Limits()) -> Picture:
    """Decode the first frame of a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC file.

    The format is told by magic bytes and only that one decoder is tried. Limits are checked on the header,
    before memory for pixels is taken. Up to about 20 bytes a pixel are in use at the peak.

    Raises DecodeError, and nothing else, whatever the bytes are.
    """
    if not data:
        raise DecodeError(DecodeErrorCode.EMPTY, "The file is empty. Choose a picture file and send it again.")
    if len(data) > limits.max_bytes:
        raise DecodeError(
            DecodeErrorCode.TOO_LARGE_BYTES,
            f"The file has {_mib(len(data))} MiB and the limit is {_mib(limits.max_bytes)} MiB. "
            "Save it as JPEG or scale it down, then send it again.",
        )
    name = sniff(data)
    if name is None:
        raise DecodeError(
            DecodeErrorCode.UNKNOWN_FORMAT,
            "The file is no picture of a known format. Send JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.",
        )
    try:
        return _decode_as(name, data, limits)
    except MemoryError as error:
        raise _out_of_memory() from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(f"more than {limits.max_pixels:,} pixels", limits) from error
    except UnidentifiedImageError as error:
        raise DecodeError(
            DecodeErrorCode.CORRUPT,
            f"The file begins like {name} but its header cannot be read: it is damaged or of a rare kind. "
            "Open it in an image editor, save it as PNG or JPEG and send that.",
        ) from error
    except ImportError as error:
        raise DecodeError(
            DecodeErrorCode.UNSUPPORTED,
            f"{name} files cannot be opened here at present. Save the picture as JPEG or PNG and send that.",
        ) from error
    except _DAMAGE as error:
        reason = str(error).lower()
        if "security limit" in reason:  # libheif's own ceiling on sizes that only the coded picture tells
            raise _too_many_pixels("more pixels than its header says", limits) from error
        if "memory" in reason or "unexpected c++ exception" in reason:  # how codecs tell of a refusal
            raise _out_of_memory() from error
        raise DecodeError(
            DecodeErrorCode.CORRUPT,
            f"The {name} file is damaged or cut short. Download or export it again, then send the new copy.",
        ) from error


@contextmanager
def memory_limit(bytes: int) -> Iterator[None]:
    """Let the block take at most `bytes` of address space more than the process has now (Linux).

    Sets the soft RLIMIT_AS and restores it afterwards; a lower limit already in force is kept. The limit is
    the whole process's: use it where one picture is decoded at a time. Raises DecodeError(memory) for a
    MemoryError in the block.
    """
    # Loaded before the limit holds: a codec library that cannot be mapped stays missing for the process's life.
    Image.init()
    with suppress(ImportError):
        _register_heif()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:
        in_use = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    allowed = [in_use + bytes, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory() from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def encode_jpeg(pixels: RGB, quality: int = 90) -> bytes:
    """JPEG bytes of sRGB `pixels` [H,W,3] uint8, without any metadata."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def thumbnail(pixels: RGB, max_side: int) -> RGB:
    """`pixels` [H,W,3] uint8 scaled down (Lanczos) so that no side exceeds `max_side`; never scaled up."""
    height, width, _ = pixels.shape
    scale = max_side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _decode_as(name: str, data: bytes, limits: Limits) -> Picture:
    if name == "JPEG" and jpeg_scans(data, _MAX_JPEG_SCANS + 1) > _MAX_JPEG_SCANS:
        raise DecodeError(
            DecodeErrorCode.UNSUPPORTED,
            f"The JPEG has more than {_MAX_JPEG_SCANS} scans, which no camera or editor writes. "
            "Open it in an image editor, save it again and send that.",
        )
    if name == "WEBP" and (size := webp_size(data)):
        _check_limits(*size, 1, limits)
        _probe_memory(*size)  # libwebp takes two canvases when it opens a file
    with _open(name, data) as image:
        width, height = image.size
        frames = _count_frames(name, data, image, limits.max_frames + 1)
        _check_limits(width, height, frames, limits)
        _probe_memory(width, height)
        raw_mode = _raw_mode(image)
        image.load()
        orientation = _orientation(image)
        colour, alpha = split_alpha(image, raw_mode)
        rgb = to_srgb(colour, image.info.get("icc_profile"))
    if alpha is not None:
        page = Image.new("RGB", rgb.size, (255, 255, 255))
        page.paste(rgb, mask=alpha)
        rgb = page
    pixels = np.ascontiguousarray(_upright(np.asarray(rgb), orientation))
    pixels.flags.writeable = False
    return Picture(pixels, name, MEDIA_TYPES[name], width, height, alpha is not None, frames)


def _open(name: str, data: bytes) -> Image.Image:
    if name == "HEIC":
        _register_heif()
        name = "HEIF"
    return Image.open(BytesIO(data), formats=[name])


def _register_heif() -> None:
    # Done when needed, not at import: most processes never need what loading libheif costs.
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _count_frames(name: str, data: bytes, image: Image.Image, stop: int) -> int:
    if name == "GIF":
        return gif_frames(data, stop)
    if name == "TIFF":
        return tiff_frames(data, stop)
    return int(getattr(image, "n_frames", 1))


def _check_limits(width: int, height: int, frames: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise DecodeError(
            DecodeErrorCode.CORRUPT, "The picture has no pixels. Export it again, then send the new copy."
        )
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise _too_many_pixels(f"{width:,} x {height:,} pixels", limits)
    if frames > limits.max_frames:
        raise DecodeError(
            DecodeErrorCode.TOO_MANY_FRAMES,
            f"The file holds more than {limits.max_frames:,} frames or pages. Export one frame as a picture "
            "and send that.",
        )


def _probe_memory(width: int, height: int) -> None:
    """Raise MemoryError where ten bytes a pixel, the least that decoding takes, cannot be had.

    Asked first, because some codecs report a refused allocation as a damaged file.
    """
    np.empty(width * height * 10, np.uint8)


def _raw_mode(image: Image.Image) -> str:
    """How samples lie in the file, as Pillow names it ("L;4"); "" where the decoder does not say."""
    tile = getattr(image, "tile", None)
    args = tile[0][3] if tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or the EXIF block is damaged (it is not the picture)."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: RGB, orientation: int) -> RGB:
    """Undo EXIF orientation (CIPA DC-008, tag 274): 5..8 swap the axes, then either may be reversed."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _too_many_pixels(size: str, limits: Limits) -> DecodeError:
    return DecodeError(
        DecodeErrorCode.TOO_MANY_PIXELS,
        f"The picture has {size}; the limit is {limits.max_pixels:,} pixels and {limits.max_side:,} a side. "
        "Scale it down, then send it again.",
    )


def _out_of_memory() -> DecodeError:
    return DecodeError(
        DecodeErrorCode.MEMORY,
        "The picture needs more memory to open than is allowed here. Scale it down, then send it again.",
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f}".removesuffix(".0")
