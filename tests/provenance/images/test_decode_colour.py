"""Good files of unusual samples: deep grey, CMYK, Lab, palettes of bits, ICC profiles."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from provenance.images.decode import decode
from tests.provenance.images.files import chunk, gradient, matrix_profile, png, save, tiff_grey

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# XYZ (D50) of the primaries of Display P3, as columns.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB_FROM_XYZ = np.linalg.inv(
    np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
)


def grey_of(data: bytes) -> list[int]:
    pixels = decode(data).pixels
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[0, :, 0].tolist()


def test_16_bit_png_is_scaled_not_clipped():
    values = [0, 255, 256, 0x8000, 0xFFFF]
    assert grey_of(png(5, 1, 16, 0, [struct.pack(">5H", *values)])) == [0, 0, 1, 128, 255]


def test_16_bit_rgb_and_grey_alpha_png():
    rgb = png(1, 1, 16, 2, [struct.pack(">3H", 0xFFFF, 0x8000, 0x0100)])
    assert decode(rgb).pixels.tolist() == [[[255, 128, 1]]]
    grey_alpha = png(2, 1, 16, 4, [struct.pack(">4H", 0x4000, 0xFFFF, 0x4000, 0)])
    assert grey_of(grey_alpha) == [64, 255]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_in_both_byte_orders(order):
    values = np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16)
    assert grey_of(tiff_grey(values, 16, order=order)) == [0, 1, 128, 255]


def test_white_is_zero_tiff_is_inverted():
    values = np.array([[0, 0x8000, 0xFFFF]], np.uint16)
    assert grey_of(tiff_grey(values, 16, photometric=0)) == [255, 127, 0]
    assert grey_of(tiff_grey(np.array([[0, 200, 255]], np.uint8), 8, photometric=0)) == [255, 55, 0]


def test_12_bit_tiff_uses_its_own_white():
    # Two samples of 12 bits in three bytes: 0xFFF and 0x800.
    packed = np.array([[0xFF, 0xF8, 0x00]], np.uint8)
    data = bytearray(tiff_grey(packed, 12))
    width = data.index(struct.pack("<HHII", 256, 4, 1, 3)) + 8
    data[width : width + 4] = struct.pack("<I", 2)
    assert grey_of(bytes(data)) == [255, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 127.4, 255.0], [0, 127, 255]),
        ([0.0, 32896.0, 65535.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([1e6, 1.8e6, 3e6], [0, 102, 255]),
        ([np.nan, 0.5, np.inf], [0, 128, 255]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([-7.0, -7.0, -7.0], [0, 0, 0]),
    ],
)
def test_float_tiff(values, expected):
    assert grey_of(tiff_grey(np.array([values], np.float32), 32, sample_format=3)) == expected


@pytest.mark.parametrize(
    ("values", "sample_format", "expected"),
    [
        ([0, 100, 255], 1, [0, 100, 255]),
        ([0, 0x8000, 0xFFFF], 1, [0, 128, 255]),
        ([0, 2**31, 2**32 - 1], 1, [0, 128, 255]),
        ([-(2**31), 0, 2**31 - 1], 2, [0, 128, 255]),
    ],
)
def test_32_bit_integer_tiff(values, sample_format, expected):
    dtype = np.uint32 if sample_format == 1 else np.int32
    data = tiff_grey(np.array([values]).astype(dtype), 32, sample_format=sample_format)
    assert grey_of(data) == expected


def test_one_bit_pictures():
    assert grey_of(png(8, 1, 1, 0, [b"\xa5"])) == [255, 0, 255, 0, 0, 255, 0, 255]
    bilevel = Image.fromarray(gradient()).convert("1")
    tiff = decode(save(bilevel, "TIFF", compression="group4"))
    np.testing.assert_array_equal(tiff.pixels[:, :, 0], np.asarray(bilevel) * np.uint8(255))


def test_grey_jpeg():
    grey = Image.fromarray(gradient()).convert("L")
    picture = decode(save(grey, "JPEG", quality=95))
    assert np.abs(picture.pixels.astype(int) - np.asarray(grey)[:, :, None]).mean() < 2


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_profile(format):
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[:, 8:] = (0, 255, 255, 0)
    picture = decode(save(Image.fromarray(cmyk, "CMYK"), format))
    assert picture.pixels[8, 2].min() > 250
    red, green, blue = picture.pixels[8, 13].tolist()
    assert red > 230
    assert max(green, blue) < 40


def test_lab_tiff():
    lab = Image.new("LAB", (2, 1), (255, 128, 128))
    lab.putpixel((1, 0), (136, 208, 195))  # L 53, a 80, b 67: sRGB red
    pixels = decode(save(lab, "TIFF")).pixels
    assert pixels[0, 0].min() >= 253
    assert pixels[0, 1, 0] > 245
    assert pixels[0, 1, 1:].max() < 25


def test_profile_is_converted_to_srgb():
    """Against the colorimetry worked out here: linearise, change primaries, encode as IEC 61966-2-1."""
    colours = np.array([[[200, 100, 50], [90, 140, 120], [128, 128, 128], [60, 60, 90]]], np.uint8)
    linear = (colours / 255.0) ** 2.0 @ (SRGB_FROM_XYZ @ P3).T
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)
    expected = np.rint(255 * np.clip(encoded, 0, 1))
    picture = decode(save(colours, "PNG", icc_profile=matrix_profile(P3, 2.0)))
    assert np.abs(picture.pixels - expected).max() <= 2
    assert np.abs(picture.pixels.astype(int) - colours).max() > 10


def test_profile_of_a_grey_picture():
    grey = Image.new("L", (2, 2), 128)
    profile = matrix_profile(P3, 1.0, b"GRAY")
    picture = decode(save(grey, "PNG", icc_profile=profile))
    assert np.abs(picture.pixels.astype(int) - 188).max() <= 2  # linear one half is 188 in sRGB


def test_profile_applies_under_alpha():
    rgba = Image.new("RGBA", (2, 1), (128, 128, 128, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))
    picture = decode(save(rgba, "PNG", icc_profile=matrix_profile(P3, 1.0)))
    assert np.abs(picture.pixels[0, 0].astype(int) - 188).max() <= 2
    assert picture.pixels[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_srgb_profile_changes_nothing(format):
    colours = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(save(colours, format, icc_profile=SRGB)).pixels, colours)


def test_srgb_by_another_name_changes_nothing():
    """Primaries and curve rounded differently: the colours move by a rounding step at most, so they stay."""
    codes = np.linspace(0, 1, 1024)
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    profile = matrix_profile(np.linalg.inv(SRGB_FROM_XYZ) * 0.994, linear)
    colours = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    converted = ImageCms.profileToProfile(
        Image.fromarray(colours), ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    assert converted is not None
    assert np.abs(np.asarray(converted).astype(int) - colours).max() == 1
    np.testing.assert_array_equal(decode(save(colours, "PNG", icc_profile=profile)).pixels, colours)


def test_a_valid_profile_of_many_megabytes_is_ignored():
    profile = matrix_profile(P3, 1.0)
    for size, grey in ((2**20, 188), (5 * 2**20, 128)):
        padded = struct.pack(">I", size) + profile[4:].ljust(size - 4, b"\0")
        picture = decode(save(Image.new("RGB", (4, 4), (128, 128, 128)), "TIFF", icc_profile=padded))
        assert np.abs(picture.pixels.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_profile_is_honoured_in_every_container(format):
    grey = np.full((32, 32, 3), 128, np.uint8)
    picture = decode(save(grey, format, quality=95, icc_profile=matrix_profile(P3, 1.0)))
    assert np.abs(picture.pixels.astype(int) - 188).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [b"rubbish", SRGB[:100], SRGB[:1000] + b"\xff" * 1000, matrix_profile(P3, 1.0, b"GRAY")],
    ids=["rubbish", "cut", "damaged", "of grey"],
)
def test_broken_or_foreign_profile_is_ignored(profile):
    pixels = gradient()
    picture = decode(save(pixels, "TIFF", icc_profile=profile))
    assert np.abs(picture.pixels.astype(int) - pixels).max() <= 1


def test_rgb_profile_in_a_cmyk_file_is_ignored():
    cmyk = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert decode(save(cmyk, "JPEG", icc_profile=SRGB)).pixels.min() > 250


def test_other_png_chunks_do_not_matter():
    plain = png(1, 1, 8, 2, [b"\x0a\x14\x1e"])
    at = plain.index(b"IDAT") - 4
    noted = plain[:at] + chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"a\0b") + plain[at:]
    assert decode(noted).pixel_sha256 == decode(plain).pixel_sha256
