"""The second key of an artwork: any file, reduced to 32 bytes; and commitments to secrets."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from provenance.artwork import paper_v1
from provenance.images.decode import DecodeError, DecodeErrorCode, Limits, decode, sniff

MAX_BYTES = 256 * 1024 * 1024
SALT_BYTES = 16
_CHUNK = 1024 * 1024
# Beyond these a picture is a file like any other. They decide keys: not to be moved with the limits of the site.
_LIMITS = Limits(max_bytes=50 * 2**20, max_pixels=100_000_000, max_side=30_000, max_frames=1000)
# RFC 7914: 16 MiB and about 50 ms a try, so that a short prompt is not simply tried out.
_SCRYPT_COST, _SCRYPT_BLOCK = 2**14, 8


class SignatureErrorCode(StrEnum):
    """Why a file cannot be a signature."""

    EMPTY = "signature_empty"
    TOO_LARGE = "signature_too_large"
    NOT_NOW = "signature_not_now"


class SignatureError(ValueError):
    """The file cannot be used; the message says what to do."""

    def __init__(self, code: SignatureErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Signature:
    """What is kept of a signature file while a work is made.

    Attributes:
        byte_digest: BLAKE2s-256 of the file's bytes, 32 bytes.
        pixel_digest: BLAKE2s-256 of the decoded picture, 32 bytes; None where the file is no picture.
        paper_identity: what the published scheme keeps of a picture (:func:`paper_v1.digest`), 32 hex digits; None
            where the file is no picture.
    """

    byte_digest: bytes
    pixel_digest: bytes | None
    paper_identity: str | None = None

    @property
    def key(self) -> bytes:
        """The key: of a picture its pixels, so that a lossless copy in another format opens the same work."""
        return self.pixel_digest or self.byte_digest


def read_signature(source: BinaryIO) -> Signature:
    """Reduce a file to its key, reading it in pieces.

    Raises:
        SignatureError: the file is empty or larger than :data:`MAX_BYTES`, or it is a picture that this machine cannot
            decode at present.
    """
    digest = hashlib.blake2s(person=b"prov-byt")
    kept, size = bytearray(), 0
    while piece := source.read(_CHUNK):
        size += len(piece)
        if size > MAX_BYTES:
            raise SignatureError(
                SignatureErrorCode.TOO_LARGE,
                f"The signature file is larger than {MAX_BYTES // 2**20} MB. Choose a smaller file.",
            )
        digest.update(piece)
        if size <= _LIMITS.max_bytes:
            kept += piece
    if not size:
        raise SignatureError(SignatureErrorCode.EMPTY, "The signature file is empty. Choose a file with content.")
    digest.update(size.to_bytes(8, "big"))
    pixels = _pixels(bytes(kept)) if size <= _LIMITS.max_bytes else None
    if pixels is None:
        return Signature(digest.digest(), None, None)
    identity = paper_v1.digest(np.ascontiguousarray(pixels[..., ::-1]))
    return Signature(digest.digest(), pixel_digest(pixels), identity)


def pixel_digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return BLAKE2s-256 over height, width and the samples of an sRGB picture, uint8 RGB ``[H, W, 3]``."""
    height, width, _ = pixels.shape
    digest = hashlib.blake2s(person=b"prov-pix")
    digest.update(height.to_bytes(4, "big") + width.to_bytes(4, "big") + b"uint8 RGB")
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def commit(secret: bytes, salt: bytes) -> str:
    """Return a commitment that its holder can open, scrypt, 64 hex digits. To others it tells no more than whether a
    guess is right, and each guess costs them as much."""
    memory = 2 * 128 * _SCRYPT_COST * _SCRYPT_BLOCK
    return hashlib.scrypt(secret, salt=salt, n=_SCRYPT_COST, r=_SCRYPT_BLOCK, p=1, maxmem=memory, dklen=32).hex()


def opens(commitment: str, secret: bytes, salt: bytes) -> bool:
    """Say whether the secret is the one committed to, in constant time."""
    return hmac.compare_digest(commitment, commit(secret, salt))


def _pixels(data: bytes) -> npt.NDArray[np.uint8] | None:
    if sniff(data) is None:
        return None
    try:
        return decode(data, _LIMITS).pixels
    except DecodeError as error:
        if error.code is DecodeErrorCode.MEMORY or isinstance(error.__cause__, ImportError):
            # Keyed by its bytes here and by its pixels elsewhere, its owner could not prove the work.
            raise SignatureError(
                SignatureErrorCode.NOT_NOW,
                f"The picture cannot be read here at present, and its pixels are the key. {error.message}",
            ) from error
        # A damaged picture is a file like any other.
        return None
