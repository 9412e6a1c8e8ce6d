"""Any file becomes a key; a picture's key is its pixels; commitments open for their secret alone."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from provenance.artwork import signature
from provenance.artwork.signature import (
    Signature,
    SignatureError,
    SignatureErrorCode,
    commit,
    opens,
    pixel_digest,
    read_signature,
)
from provenance.images import decode

RGB = npt.NDArray[np.uint8]


def picture(seed: int = 1, height: int = 12, width: int = 20) -> RGB:
    return np.random.Generator(np.random.Philox(key=seed)).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels: RGB, format: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def read(data: bytes) -> Signature:
    return read_signature(BytesIO(data))


class Dribble(BytesIO):
    """Hands out a few bytes at a time, as a socket may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(7, 7 if size is None or size < 0 else size))


def test_lossless_copies_of_a_picture_share_the_key_and_not_the_bytes() -> None:
    found = [read(encoded(picture(), format)) for format in ("PNG", "BMP", "TIFF")]
    assert {one.key for one in found} == {pixel_digest(picture())}
    assert len({one.byte_digest for one in found}) == 3
    assert all(one.key == one.pixel_digest for one in found)


def test_metadata_is_not_part_of_a_pictures_key() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    plain, described = read(encoded(picture(), "PNG")), read(encoded(picture(), "PNG", exif=exif.tobytes()))
    assert plain.key == described.key
    assert plain.byte_digest != described.byte_digest


def test_one_changed_sample_is_another_key() -> None:
    changed = picture()
    changed[3, 4, 1] ^= 1
    one, other = read(encoded(picture(), "PNG")).key, read(encoded(changed, "PNG")).key
    differing = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    assert 80 < differing.bit_count() < 176


def test_the_same_samples_in_another_shape_are_another_key() -> None:
    flat = np.arange(36, dtype=np.uint8)
    shapes = [(2, 6, 3), (6, 2, 3), (3, 4, 3), (1, 12, 3)]
    assert len({pixel_digest(flat.reshape(shape)) for shape in shapes}) == 4


def test_how_pixels_lie_in_memory_does_not_matter() -> None:
    pixels = picture()
    assert pixel_digest(np.asfortranarray(pixels)) == pixel_digest(pixels)
    assert pixel_digest(pixels[::-1, ::2]) == pixel_digest(pixels[::-1, ::2].copy())


@pytest.mark.parametrize(
    "data",
    [b"\0", b"a poem", bytes(range(256)) * 40, b"RIFF\x24\0\0\0WAVEfmt ", b"%PDF-1.7\n", "\u00fc\u4e16".encode()],
)
def test_any_other_file_is_keyed_by_its_bytes(data: bytes) -> None:
    found = read(data)
    assert found.pixel_digest is None
    assert found.key == found.byte_digest
    assert found.key != read(data + b"\0").key
    assert len(found.key) == 32


@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_a_damaged_picture_is_keyed_by_its_bytes(format: str) -> None:
    data = encoded(picture(), format)
    damaged = data[: len(data) // 2]
    found = read(damaged)
    assert found.pixel_digest is None
    assert found.key == found.byte_digest != read(data).byte_digest


def test_digests_are_those_that_the_words_say() -> None:
    """BLAKE2s-256, personalised, so that no other digest of the same content is the key."""
    data = b"a poem"
    by_hand = hashlib.blake2s(data + (6).to_bytes(8, "big"), person=b"prov-byt").digest()
    assert read(data).byte_digest == by_hand
    pixels = picture(2, 3, 5)
    head = (3).to_bytes(4, "big") + (5).to_bytes(4, "big") + b"uint8 RGB"
    assert pixel_digest(pixels) == hashlib.blake2s(head + pixels.tobytes(), person=b"prov-pix").digest()
    bare = {hashlib.blake2s(data).digest(), hashlib.sha256(data).digest(), hashlib.blake2s(pixels.tobytes()).digest()}
    assert not bare & {by_hand, pixel_digest(pixels)}


def test_a_file_of_a_pictures_very_samples_is_not_that_picture() -> None:
    pixels = picture()
    head = (12).to_bytes(4, "big") + (20).to_bytes(4, "big") + b"uint8 RGB"
    keys = {read(encoded(pixels, "PNG")).key, read(pixels.tobytes()).key, read(head + pixels.tobytes()).key}
    assert len(keys) == 3


def test_how_the_file_arrives_does_not_matter() -> None:
    for data in (encoded(picture(), "PNG"), b"words " * 500):
        assert read_signature(Dribble(data)) == read(data)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(SignatureError) as refusal:
        read(b"")
    assert refusal.value.code is SignatureErrorCode.EMPTY
    assert str(refusal.value) == refusal.value.message


def test_a_file_beyond_the_limit_is_refused_before_it_is_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "MAX_BYTES", 1000)
    monkeypatch.setattr(signature, "_CHUNK", 100)
    assert read(bytes(1000)).key == read(bytes(1000)).byte_digest
    source = BytesIO(bytes(100_000))
    with pytest.raises(SignatureError) as refusal:
        read_signature(source)
    assert refusal.value.code is SignatureErrorCode.TOO_LARGE
    assert source.tell() <= 1100


def test_a_picture_too_large_to_decode_is_keyed_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(), "PNG")
    monkeypatch.setattr(signature, "_LIMITS", decode.Limits(max_bytes=len(data) - 1))
    monkeypatch.setattr(signature, "_CHUNK", 64)
    found = read(data)
    assert found.pixel_digest is None
    monkeypatch.undo()
    assert read(data).byte_digest == found.byte_digest


@pytest.mark.parametrize("trouble", [MemoryError(), ImportError("no codec")])
def test_a_picture_that_cannot_be_decoded_now_is_refused(monkeypatch: pytest.MonkeyPatch, trouble: Exception) -> None:
    """Were its bytes taken for the key, its owner could not prove the work where it can be decoded."""

    def fail(*_given: object) -> None:
        raise trouble

    monkeypatch.setattr(decode, "_decode_as", fail)
    with pytest.raises(SignatureError) as refusal:
        read(encoded(picture(), "PNG"))
    assert refusal.value.code is SignatureErrorCode.NOT_NOW


def test_limits_of_the_site_do_not_decide_keys() -> None:
    assert decode.Limits(2**20 * 50, 10**8, 30_000, 1000) == signature._LIMITS


def test_a_commitment_opens_for_its_secret_and_salt_alone() -> None:
    made = commit(b"secret", bytes(16))
    assert opens(made, b"secret", bytes(16))
    assert not opens(made, b"secret ", bytes(16))
    assert not opens(made, b"", bytes(16))
    assert not opens(made, b"secret", b"\x01" + bytes(15))
    assert b"secret".hex() not in made


def test_commitments_are_scrypt_as_others_compute_it() -> None:
    by_hand = hashlib.scrypt(b"secret", salt=b"salt of 16 bytes", n=16384, r=8, p=1, maxmem=2**26, dklen=32)
    assert commit(b"secret", b"salt of 16 bytes") == by_hand.hex()
