"""Bad files: every one gives a DecodeError with a code and a sentence that says what to do, and costs little."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageFile

from provenance.images.decode import DecodeError, DecodeErrorCode, Limits, decode, memory_limit
from provenance.images.headers import gif_frames, jpeg_scans, tiff_frames, webp_size
from tests.provenance.images.files import gif_bomb, gradient, png, save, tiff_chain

SMALL = gradient(24, 32)
ADVICE = ("Choose", "Send", "send", "Save", "Export", "Scale")


def refusal(data: bytes, limits: Limits | None = None) -> DecodeErrorCode:
    with pytest.raises(DecodeError) as caught:
        decode(data, limits or Limits())
    message = caught.value.message
    assert str(caught.value) == message
    assert message.endswith(".")
    assert any(word in message for word in ADVICE), message
    return caught.value.code


def png_claiming(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, [b"\0"])


def webp_claiming(width: int, height: int) -> bytes:
    body = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    data = b"WEBPVP8X" + struct.pack("<I", 10) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


def test_empty_file():
    assert refusal(b"") is DecodeErrorCode.EMPTY


def test_too_many_bytes_names_both_sizes():
    data = save(SMALL, "BMP")
    with pytest.raises(DecodeError, match=r"has 2.2 MiB and the limit is 1 MiB"):
        decode(data + b"\0" * 2_300_000, Limits(max_bytes=2**20))
    assert refusal(data, Limits(max_bytes=len(data) - 1)) is DecodeErrorCode.TOO_LARGE_BYTES
    decode(data, Limits(max_bytes=len(data)))


@pytest.mark.parametrize(
    "data",
    [b"\0", b"hello", b"<svg/>", b"%PDF-1.7", b"PK\3\4", b"\0\0\0\x18ftypisom\0\0\0\0isom", b"8BPS", b"\0" * 9999],
)
def test_what_is_no_picture(data):
    assert refusal(data) is DecodeErrorCode.UNKNOWN_FORMAT


def test_a_format_pillow_knows_but_we_do_not():
    assert refusal(save(SMALL, "PPM")) is DecodeErrorCode.UNKNOWN_FORMAT
    assert refusal(save(SMALL, "JPEG2000")) is DecodeErrorCode.UNKNOWN_FORMAT


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "data",
    [
        png_claiming(60_000, 60_000),
        png_claiming(12_000, 12_000),
        png_claiming(30_001, 1),
        png_claiming(1, 30_001),
        webp_claiming(16_383, 16_383),
        webp_claiming(10_001, 10_000),
        b"GIF89a\xff\xff\xff\xff\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b",
        b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0\x3b",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0),
    ],
    ids=["60k", "12k", "wide", "high", "webp", "webp just over", "gif screen", "gif frame", "bmp"],
)
def test_size_is_checked_on_the_header(data, monkeypatch):
    def load(self: object) -> None:
        raise AssertionError("pixels were loaded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert len(data) < 400
    tracemalloc.start()
    try:
        assert refusal(data) is DecodeErrorCode.TOO_MANY_PIXELS
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "AVIF", "HEIF", "WEBP", "GIF"])
def test_size_limits_hold_for_every_format(format):
    data = save(SMALL, format)
    assert refusal(data, Limits(max_pixels=24 * 32 - 1)) is DecodeErrorCode.TOO_MANY_PIXELS
    assert refusal(data, Limits(max_side=31)) is DecodeErrorCode.TOO_MANY_PIXELS
    decode(data, Limits(max_pixels=24 * 32, max_side=32))


def test_the_size_limit_is_named():
    with pytest.raises(DecodeError, match=r"32 x 24 pixels; the limit is 700 pixels"):
        decode(save(SMALL, "PNG"), Limits(max_pixels=700))


@pytest.mark.parametrize("data", [gif_bomb(100_000), tiff_chain(100_000)], ids=["gif", "tiff"])
def test_thousands_of_frames(data):
    tracemalloc.start()
    try:
        assert refusal(data) in (DecodeErrorCode.TOO_MANY_FRAMES, DecodeErrorCode.CORRUPT)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "AVIF", "TIFF", "PNG", "HEIF"])
def test_frame_limit_holds_for_every_format(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    data = save(frames[0], format, save_all=True, append_images=frames[1:])
    assert refusal(data, Limits(max_frames=2)) is DecodeErrorCode.TOO_MANY_FRAMES
    assert decode(data, Limits(max_frames=3)).frames == 3


def test_frame_counts():
    assert gif_frames(gif_bomb(7), 100) == 7
    assert gif_frames(gif_bomb(7), 3) == 3
    assert gif_frames(gif_bomb(7)[:60], 100) == 2
    assert tiff_frames(tiff_chain(7), 100) == 7
    assert tiff_frames(tiff_chain(7), 3) == 3
    assert tiff_frames(b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8), 100) == 1  # points at itself
    big = b"MM\0+" + struct.pack(">HHQQQ", 8, 0, 16, 0, 0)
    assert tiff_frames(big, 100) == 1


def test_webp_sizes():
    for options in ({"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}):
        assert webp_size(save(SMALL, "WEBP", **options)) == (32, 24)
    assert webp_size(b"RIFF\0\0\0\0WEBPVP8 ") is None


def test_a_jpeg_of_endless_scans():
    data = save(gradient(64, 64), "JPEG", progressive=True)
    scans = jpeg_scans(data, 1000)
    assert 5 < scans < 20
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 100 + data[-2:]
    assert jpeg_scans(bomb, 1000) == scans + 99
    assert refusal(bomb) is DecodeErrorCode.UNSUPPORTED
    assert jpeg_scans(data + data, 1000) == scans  # what follows the first picture is another


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_chunk_that_unpacks_to_too_much(kind):
    packed = zlib.compress(b"\0" * 50_000_000, 1)
    body = b"note\0" + (b"\x01\0\0\0" if kind == b"iTXt" else b"\0") + packed
    data = png(1, 1, 8, 2, [b"\1\2\3"], (kind, body))
    tracemalloc.start()
    try:
        assert refusal(data) is DecodeErrorCode.CORRUPT
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_pixels_that_unpack_to_too_much_are_not_unpacked():
    data = png(2, 1, 8, 2, [b"\1\2\3\4\5\6" + b"\0" * 100_000_000])
    tracemalloc.start()
    try:
        assert decode(data).pixels.tolist() == [[[1, 2, 3], [4, 5, 6]]]
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_picture_without_pixels():
    assert refusal(png_claiming(0, 5)) is DecodeErrorCode.CORRUPT
    assert refusal(b"GIF89a\0\0\0\0\0\0\0\x3b") is DecodeErrorCode.CORRUPT


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_files_are_corrupt(format, part):
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = save(noise, format)
    assert refusal(data[: int(len(data) * part)]) is DecodeErrorCode.CORRUPT


def test_a_polyglot_is_only_what_its_first_bytes_say():
    assert refusal(b"\xff\xd8\xff" + save(SMALL, "PNG")) is DecodeErrorCode.CORRUPT
    assert decode(save(SMALL, "PNG") + save(SMALL, "JPEG")).format == "PNG"


def test_pillows_own_limit_is_reported_as_ours(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert refusal(save(SMALL, "PNG")) is DecodeErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")])
def test_memory_errors_have_their_own_code(error, monkeypatch):
    def load(self: object) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert refusal(save(SMALL, "PNG")) is DecodeErrorCode.MEMORY


@pytest.mark.parametrize(
    "error",
    [
        OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError, EOFError,
        RuntimeError, OverflowError, ZeroDivisionError, UnicodeDecodeError("utf-8", b"", 0, 1, ""), struct.error,
        zlib.error,
    ],
)  # fmt: skip
def test_whatever_a_reader_raises_is_damage(error, monkeypatch):
    def load(self: object) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert refusal(save(SMALL, "PNG")) is DecodeErrorCode.CORRUPT


def test_heic_without_its_library_is_unsupported(monkeypatch):
    data = save(SMALL, "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(data) is DecodeErrorCode.UNSUPPORTED


def samples() -> dict[str, bytes]:
    picture = Image.fromarray(SMALL)
    frames = {"save_all": True, "append_images": [picture.rotate(90), picture]}
    exif = Image.Exif()
    exif[0x0112] = 6
    noted = {"exif": exif.tobytes(), "icc_profile": b"\0" * 200}
    return {
        "jpeg": save(picture, "JPEG", **noted),
        "progressive": save(picture, "JPEG", progressive=True),
        "cmyk": save(picture.convert("CMYK"), "JPEG"),
        "mpo": save(picture, "MPO", **frames),
        "png": save(picture, "PNG", **noted),
        "palette": save(picture.convert("P"), "PNG", transparency=3),
        "apng": save(picture, "PNG", **frames),
        "gif": save(picture, "GIF", transparency=2, **frames),
        "webp": save(picture, "WEBP", **noted),
        "webp lossless": save(picture.convert("RGBA"), "WEBP", lossless=True),
        "webp animated": save(picture, "WEBP", **frames),
        "bmp": save(picture.convert("P"), "BMP"),
        "tiff": save(picture, "TIFF", **frames),
        "tiff lzw": save(picture, "TIFF", compression="tiff_lzw"),
        "tiff deflate": save(picture, "TIFF", compression="tiff_adobe_deflate"),
        "tiff float": save(Image.fromarray(SMALL[..., 0].astype(np.float32)), "TIFF"),
        "avif": save(picture, "AVIF", **noted),
        "heic": save(picture, "HEIF", **frames),
    }


def damaged(data: bytes, rng: np.random.Generator, kind: int) -> bytes:
    """Cut short, bits flipped anywhere, bytes set in the header, or a piece taken out or put in."""
    broken = bytearray(data)
    if kind == 0:
        return bytes(broken[: int(rng.integers(0, len(broken)))])
    if kind == 1:
        for at in rng.integers(0, len(broken), int(rng.integers(1, 8))):
            broken[at] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        for at in rng.integers(0, min(400, len(broken)), int(rng.integers(1, 6))):
            broken[at] = int(rng.integers(0, 256))
    else:
        at = int(rng.integers(0, len(broken)))
        broken[at : at + int(rng.integers(0, 20))] = rng.bytes(int(rng.integers(0, 20)))
    return bytes(broken)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", samples())
def test_damage_never_raises_anything_but_decode_error(name):
    data = samples()[name]
    decode(data)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    outcomes = set()
    for turn in range(120):
        try:
            picture = decode(damaged(data, rng, turn % 4), Limits(max_pixels=1_000_000))
        except DecodeError as error:
            outcomes.add(error.code)
        else:
            assert picture.pixels.dtype == np.uint8
            assert picture.pixels.shape[2:] == (3,)
    assert DecodeErrorCode.CORRUPT in outcomes


def test_chunks_of_the_right_sum_and_the_wrong_content():
    rng = np.random.default_rng(9)
    for kind in (b"iCCP", b"tRNS", b"eXIf", b"acTL", b"pHYs", b"sRGB", b"cHRM", b"gAMA", b"zTXt", b"iTXt", b"fcTL"):
        for length in (0, 1, 7, 26):
            extra = (kind, rng.bytes(length))
            with suppress(DecodeError):
                decode(png(1, 1, 8, 2, [b"\1\2\3"], extra))


def in_a_process(body: str, data: bytes = b"") -> str:
    """Run `body` in a fresh interpreter (the limit is a whole process's); returns what it prints."""
    code = "import resource, sys\nfrom provenance.images.decode import *\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_memory_limit_refuses_and_is_lifted(format):
    body = """
        data = sys.stdin.buffer.read()
        before = resource.getrlimit(resource.RLIMIT_AS)
        try:
            with memory_limit(4_000_000):
                decode(data)
        except DecodeError as error:
            print(error.code)
        assert resource.getrlimit(resource.RLIMIT_AS) == before
        print(decode(data).pixels.shape)
    """
    printed = in_a_process(body, save(Image.new("RGB", (2000, 2000)), format))
    assert printed == "memory\n(2000, 2000, 3)"


def test_memory_limit_leaves_room_for_what_is_allowed():
    body = """
        with memory_limit(200_000_000):
            print(decode(sys.stdin.buffer.read()).pixels.shape)
    """
    assert in_a_process(body, save(Image.new("RGB", (2000, 2000)), "PNG")) == "(2000, 2000, 3)"


def test_memory_limit_turns_any_memory_error_and_keeps_a_lower_limit():
    printed = in_a_process("""
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, hard))
        with memory_limit(100_000_000_000):
            print(resource.getrlimit(resource.RLIMIT_AS)[0])
        try:
            with memory_limit(1_000_000):
                bytearray(300_000_000)
        except DecodeError as error:
            print(error.code)
        print(resource.getrlimit(resource.RLIMIT_AS)[0])
    """)
    assert printed == "4000000000\nmemory\n4000000000"


def test_memory_limit_lets_other_errors_through():
    with pytest.raises(DecodeError) as caught, memory_limit(2**30):
        decode(b"")
    assert caught.value.code is DecodeErrorCode.EMPTY
