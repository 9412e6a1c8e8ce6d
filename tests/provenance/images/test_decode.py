"""Good files: every format, orientation, transparency and identity of pixels."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from provenance.images.decode import Picture, decode, encode_jpeg, sniff, thumbnail
from tests.provenance.images.files import gradient, png, save

LOSSLESS = [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]
LOSSY = [("JPEG", "JPEG"), ("WEBP", "WEBP"), ("AVIF", "AVIF"), ("HEIF", "HEIC")]
MEDIA_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif",
    "BMP": "image/bmp", "TIFF": "image/tiff", "AVIF": "image/avif", "HEIC": "image/heic",
}  # fmt: skip
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(("format", "options"), LOSSLESS)
def test_lossless_formats_give_the_very_pixels(format, options):
    pixels = gradient()
    picture = decode(save(pixels, format, **options))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert (picture.format, picture.media_type) == (format, MEDIA_TYPES[format])
    assert (picture.source_width, picture.source_height, picture.frames) == (64, 48, 1)
    assert not picture.had_alpha


@pytest.mark.parametrize(("encoder", "name"), LOSSY)
def test_lossy_formats_come_close(encoder, name):
    pixels = gradient()
    picture = decode(save(pixels, encoder, quality=90))
    assert (picture.format, picture.media_type) == (name, MEDIA_TYPES[name])
    assert picture.pixels.shape == pixels.shape
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 4


def test_pixels_are_uint8_contiguous_and_read_only():
    pixels = decode(save(gradient(), "JPEG", exif=oriented(6))).pixels
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    with pytest.raises(ValueError):
        pixels[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"BM" + b"\0" * 12 + struct.pack("<I", 40), "BMP"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", None),
        (b"\0\0\0\x10ftypmif1\0\0\0\0heic", None),  # "heic" lies outside the box
        (b"BM, a magazine, is no picture", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"%PDF-1.7", None),
        (b"<svg xmlns=", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_sniff_goes_by_magic_bytes(head, name):
    assert sniff(head) == name


@pytest.mark.parametrize("orientation", [1, *TURNS])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(format, orientation):
    upright = Image.fromarray(gradient())
    # Turned the other way first, so that undoing it gives the upright picture back.
    stored = upright.transpose(TURNS[orientation]) if orientation > 1 else upright
    options = {"lossless": True} if format == "WEBP" else {}
    if format == "TIFF":
        options["tiffinfo"] = {274: orientation}
    else:
        options["exif"] = oriented(orientation)
    picture = decode(save(stored, format, **options))
    np.testing.assert_array_equal(picture.pixels, np.asarray(upright))
    if format != "TIFF":
        assert (picture.source_width, picture.source_height) == stored.size


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "HEIF"])
def test_lossy_formats_are_turned_upright_once(format):
    upright = Image.fromarray(gradient())
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    picture = decode(save(stored, format, quality=95, exif=oriented(6)))
    assert picture.pixels.shape == (48, 64, 3)
    assert np.abs(picture.pixels.astype(int) - np.asarray(upright)).mean() < 5


def test_xmp_orientation_counts_where_exif_has_none():
    upright = Image.fromarray(gradient())
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    picture = decode(save(upright.rotate(180), "WEBP", lossless=True, xmp=xmp))
    np.testing.assert_array_equal(picture.pixels, np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", oriented(9), oriented(0)])
def test_damaged_exif_is_ignored(exif):
    pixels = gradient()
    np.testing.assert_array_equal(decode(save(pixels, "PNG", exif=exif)).pixels, pixels)


def test_alpha_is_composited_on_white():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., :3] = (200, 100, 0)
    rgba[..., 3] = [[255, 128], [0, 1]]
    picture = decode(save(Image.fromarray(rgba), "PNG"))
    assert picture.had_alpha
    expected = np.rint(255 + (rgba[..., :3] - 255.0) * (rgba[..., 3:] / 255))
    assert np.abs(picture.pixels - expected).max() <= 1
    assert picture.pixels[1, 0].tolist() == [255, 255, 255]
    assert picture.pixels[0, 0].tolist() == [200, 100, 0]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_with_alpha(format):
    grey = np.zeros((2, 2, 2), np.uint8)
    grey[..., 0] = 40
    grey[..., 1] = [[255, 0], [255, 0]]
    picture = decode(save(Image.fromarray(grey, "LA"), format))
    assert picture.pixels[:, :, 0].tolist() == [[40, 255], [40, 255]]
    assert picture.had_alpha


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "HEIF", "TIFF"])
def test_alpha_in_other_formats(format):
    rgba = np.dstack([gradient(), np.zeros((48, 64), np.uint8)])
    rgba[:, :32, 3] = 255
    picture = decode(save(Image.fromarray(rgba), format))
    assert picture.had_alpha
    assert picture.pixels[:, 40:].min() >= 250
    assert picture.pixels[10, 20].max() < 255


def test_palette_with_and_without_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    plain = decode(save(palette, "PNG"))
    assert plain.pixels.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert not plain.had_alpha
    see_through = decode(save(palette, "PNG", transparency=1))
    assert see_through.pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert see_through.had_alpha


@pytest.mark.parametrize(
    ("depth", "row", "key", "expected"),
    [
        (1, b"\x40", 1, [0, 255, 0]),  # bits 0 1 0: the white one is hidden, and the page is white as well
        (1, b"\x40", 0, [255, 255, 255]),
        (2, b"\x1c", 1, [0, 255, 255]),  # 0, 1, 3
        (4, b"\x0f\x80", 15, [0, 255, 136]),
        (8, b"\x00\x55\xaa", 0x55, [0, 255, 170]),
        (16, b"\x00\x00\x80\x00\x80\x01", 0x8000, [0, 255, 128]),
    ],
)
def test_grey_colour_key_at_every_depth(depth, row, key, expected):
    picture = decode(png(3, 1, depth, 0, [row], (b"tRNS", struct.pack(">H", key))))
    assert picture.had_alpha
    assert picture.pixels[0, :, 0].tolist() == expected


def test_rgb_colour_key():
    key = struct.pack(">HHH", 1, 2, 3)
    picture = decode(png(2, 1, 8, 2, [bytes((1, 2, 3, 1, 2, 4))], (b"tRNS", key)))
    assert picture.pixels.tolist() == [[[255, 255, 255], [1, 2, 4]]]


def test_colour_key_of_16_bit_rgb_is_left_alone():
    key = struct.pack(">HHH", 0x0101, 0x0202, 0x0303)
    picture = decode(png(1, 1, 16, 2, [key], (b"tRNS", key)))
    assert picture.pixels.tolist() == [[[1, 2, 3]]]
    assert not picture.had_alpha


@pytest.mark.parametrize("format", ["GIF", "WEBP", "AVIF", "TIFF", "PNG", "HEIF"])
def test_the_first_frame_is_taken(format):
    first, second = Image.new("RGB", (32, 32), (200, 30, 30)), Image.new("RGB", (32, 32), (30, 30, 200))
    picture = decode(save(first, format, save_all=True, append_images=[second, first]))
    assert picture.frames == 3
    assert np.abs(picture.pixels.astype(int) - (200, 30, 30)).max() < 12


def test_multi_picture_jpeg_counts_as_jpeg():
    first, second = Image.fromarray(gradient()), Image.new("RGB", (64, 48))
    picture = decode(save(first, "MPO", save_all=True, append_images=[second]))
    assert (picture.format, picture.frames) == ("JPEG", 2)
    assert np.abs(picture.pixels.astype(int) - gradient()).mean() < 5


def test_the_same_bytes_give_the_same_pixels():
    for format in ("JPEG", "AVIF", "HEIF", "WEBP"):
        data = save(gradient(200, 300), format)
        assert decode(data).pixel_sha256 == decode(data).pixel_sha256


def test_pixel_hash_is_as_defined_and_frozen():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    digest = Picture(pixels, "PNG", "image/png", 3, 2, False, 1).pixel_sha256
    by_hand = hashlib.sha256(b"provenance.pixels.rgb8.v1\0\0\0\0\x02\0\0\0\x03" + bytes(range(18)))
    assert digest == by_hand.hexdigest()
    assert digest == "05277f61822a58fa115b05b61c25edccd4b3781ba910fa894098217dfe2443cb"
    turned = Picture(pixels.reshape(3, 2, 3), "PNG", "image/png", 2, 3, False, 1)
    assert turned.pixel_sha256 != digest


def test_pixel_hash_does_not_depend_on_the_container():
    pixels = gradient()
    assert len({decode(save(pixels, format, **options)).pixel_sha256 for format, options in LOSSLESS}) == 1


def test_jpeg_for_derivatives_carries_no_metadata():
    data = encode_jpeg(decode(save(gradient(), "PNG", exif=oriented(1))).pixels)
    assert sniff(data) == "JPEG"
    with Image.open(BytesIO(data)) as image:
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert np.abs(decode(data).pixels.astype(int) - gradient()).mean() < 4


def test_thumbnails_shrink_and_never_grow():
    assert thumbnail(gradient(48, 64), 32).shape == (24, 32, 3)
    assert thumbnail(gradient(400, 3), 20).shape == (20, 1, 3)
    np.testing.assert_array_equal(thumbnail(gradient(), 64), gradient())


def test_nothing_is_registered_at_import():
    code = "import sys, provenance.images.decode; sys.exit('pillow_heif' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
