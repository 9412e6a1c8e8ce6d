"""Signed copies of registered works: made by a job, kept for a day under a digest, made again when asked for."""

from __future__ import annotations

import hashlib
import io

from django.conf import settings
from django.utils.translation import gettext as _
from PIL import Image

from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from provenance.matching.bearing import SIGNED_HASH
from provenance.models.errors import ModelError
from provenance.models.store import known_sha256
from provenance.watermark.networks import ALGORITHM, MODEL, SMALLEST_SIDE, networks
from provenance.watermark.record import subject_of
from provenance.watermark.sign import CannotBeSigned, see_room, sign_to_last
from webapp import files
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.processors import take_share_of_processors
from webapp.registry.models import Work
from webapp.signatures.keys import payload_of
from webapp.signatures.models import SignatureCode

KEPT_SECONDS = 24 * 3600.0


def why_not(work: Work) -> str:
    """Return why a work cannot be signed, in a sentence; nothing where it can. Costs one query."""
    try:
        see_room(work.height, work.width)
    except CannotBeSigned:
        return _(
            "It cannot be signed: a signature needs %(least)d pixels a side and a longer side of at most six times the "
            "shorter; this picture has %(width)d × %(height)d."
        ) % {"least": SMALLEST_SIDE, "width": work.width, "height": work.height}
    if bound_to(work) is None:
        return _("It cannot be signed: the picture is too simple for the fingerprint that a signature is bound to.")
    return ""


def bound_to(work: Work) -> str | None:
    """Return the digest of the perceptual hash that a work's signature is bound to, 64 hex digits; None without one."""
    row = work.fingerprints.filter(algorithm=SIGNED_HASH).first()
    if row is None:
        return None
    value = f"{int(row.bits, 2):0{len(row.bits) // 4}x}"
    return hashlib.sha256(subject_of(row.algorithm, value)).hexdigest()


def signed_key(code: SignatureCode) -> str:
    """Return the key, in the area ``signatures``, of the copy signed with this code: another key of tags, or other
    networks, make another copy."""
    assert code.work is not None
    payload = payload_of(code)
    parts = [code.work.sha256, str(payload.number), payload.tag.hex(), ALGORITHM, known_sha256(MODEL) or ""]
    return f"{hashlib.sha256(' '.join(parts).encode()).hexdigest()}-signed.png"


def has_copy(code: SignatureCode) -> bool:
    """Return whether the signed copy is there; costs a look at the disk."""
    return code.work is not None and files.path_of(Area.SIGNATURES, signed_key(code)).exists()


def copy_make(code: SignatureCode) -> None:
    """Sign a work and keep the copy: PNG, pixels only.

    Raises:
        ProductError: the file cannot be read or signed (any more), or the networks are not here.
    """
    if code.work is None or code.work.deleted_at is not None or code.revoked_at is not None:
        raise ProductError(ErrorCode.GONE, _("The work was deleted, or its signature revoked."), status=410)
    take_share_of_processors()
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
    try:
        # Loaded before memory is limited.
        networks()
        with memory_limit(settings.WORKER_MEMORY_BYTES):
            pixels = decode(files.read(Area.WORKS, code.work.sha256), limits).pixels
            buffer = io.BytesIO()
            Image.fromarray(sign_to_last(pixels, payload_of(code))).save(buffer, "PNG")
    except (DecodeError, CannotBeSigned, FileNotFoundError) as error:
        said = getattr(error, "message", "") or _("The registered file could not be signed.")
        raise ProductError(ErrorCode.PICTURE_UNREADABLE, said, status=422) from error
    except ModelError as error:
        raise unavailable() from error
    files.write(Area.SIGNATURES, signed_key(code), buffer.getvalue(), durable=False)


def unavailable() -> ProductError:
    """Return the refusal where the networks are missing or damaged."""
    return ProductError(
        ErrorCode.SIGNATURES_UNAVAILABLE,
        _("The networks that write and read signatures are not here or damaged. Whoever runs this site can mend that."),
        status=503,
    )


def sweep() -> int:
    """Remove signed copies and uploaded test pictures that are a day old; return how many. They are made again on
    demand; pictures of a test that was killed are gone with it."""
    files.remove_unfinished(Area.SIGNATURES, KEPT_SECONDS)
    removed = 0
    for key in list(files.keys_older_than(Area.SIGNATURES, KEPT_SECONDS)):
        files.delete(Area.SIGNATURES, key)
        removed += 1
    return removed
