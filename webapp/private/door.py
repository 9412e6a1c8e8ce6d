"""The one door for encrypted content from outside: blocks and manifests are looked at here before anything is kept.

What a look at the bytes cannot tell (ciphertexts that are none, entries that are neither +1 nor -1) the keyholders find
out together before they answer questions about it; see :mod:`webapp.private.content`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from provenance.private_lookup import frames
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.registry import Manifest, read_manifest
from provenance.private_lookup.scheme import ALONE, GROUPED, Scheme
from webapp.errors import ErrorCode, ProductError
from webapp.private.models import HeldBy, PrivateCatalogue, PrivateState
from webapp.private.storage import blocks_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Around the numbers of one ciphertext, and around all of a block.
_AROUND = 1 << 15
MANIFEST_MAX_BYTES = 4 * 1024**2


def most_block_bytes(scheme: Scheme) -> int:
    """Return the largest size of a block's file."""
    return scheme.block_bytes + (scheme.code_length + 1) * _AROUND


def block_take(*, private: PrivateCatalogue, sha256: str, chunks: Iterable[bytes]) -> Path:
    """Keep a block's file. One that is there already is fine.

    Args:
        sha256: its name, which its content must have.
        chunks: its bytes, piece by piece; it is never whole in memory.

    Raises:
        ProductError: it is too large (413), altered, cut off, of another form, or made under other keys (400).
    """
    _require_uploads(private)
    if not _SHA256.fullmatch(sha256):
        raise _refused(_("A block is named by its SHA-256, 64 hex digits, and “.block”. Keep the names as they are."))
    folder = blocks_of(private)
    target = folder / f"{sha256}.block"
    if target.exists():
        return target
    if sum(path.stat().st_size for path in folder.glob("*.block")) > 2 * settings.PRIVATE_MAX_BYTES:
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED,
            _("There are blocks that belong to no content yet. Send the manifest first."),
            status=409,
        )
    agreement = private.agreement
    unfinished = folder / f"{sha256}.{os.urandom(4).hex()}.receiving"
    try:
        _receive(unfinished, sha256, chunks, most_block_bytes(agreement.scheme))
        _look(unfinished, agreement)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def manifest_read(*, private: PrivateCatalogue, data: bytes) -> Manifest:
    """Return the content that a manifest names, once all of it is here and it is newer than what was there.

    Raises:
        ProductError: it is altered, signed by another, of another catalogue, names blocks that are not here (400), or
            is of an earlier state (409).
    """
    _require_uploads(private)
    if len(data) > MANIFEST_MAX_BYTES:
        raise ProductError(ErrorCode.FILE_TOO_LARGE, _("This is no manifest: it is too large."), status=413)
    agreement = private.agreement
    try:
        manifest = read_manifest(data, agreement)
    except BadInput as problem:
        raise _refused(_("This manifest cannot be taken. %(why)s") % {"why": problem}) from problem
    size = sum(block.size for block in manifest.blocks)
    if size > settings.PRIVATE_MAX_BYTES:
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED,
            _("This catalogue has %(size)s, and %(most)s are evaluated here at most.")
            % {"size": filesizeformat(size), "most": filesizeformat(settings.PRIVATE_MAX_BYTES)},
            status=413,
        )
    for known in (private.manifest, private.offered):
        if known is not None:
            _require_newer(manifest, read_manifest(bytes(known), agreement))
    for block in manifest.blocks:
        path = blocks_of(private) / f"{block.sha256}.block"
        if not path.exists() or path.stat().st_size != block.size:
            raise _refused(
                _("The manifest names the block %(name)s…, which is not here, or has another size. Send it first.")
                % {"name": block.sha256[:12]}
            )
    return manifest


def _require_newer(manifest: Manifest, known: Manifest) -> None:
    if manifest.catalogue != known.catalogue:
        raise _refused(
            _("This is the content of “%(other)s”; here is “%(name)s”.")
            % {"other": manifest.catalogue, "name": known.catalogue}
        )
    if manifest.sequence <= known.sequence and manifest.id != known.id:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("This is state %(old)d, and state %(new)d is here already: an earlier one is never taken back.")
            % {"old": manifest.sequence, "new": known.sequence},
            status=409,
        )


def _require_uploads(private: PrivateCatalogue) -> None:
    if private.held_by != HeldBy.HOLDER:
        raise ProductError(ErrorCode.CONFLICT, _("This site's worker encrypts for this catalogue."), status=409)
    if private.state != PrivateState.READY:
        raise ProductError(
            ErrorCode.CONFLICT, _("The keys of this catalogue are not made yet."), status=409, retry_after=10
        )


def _receive(path: Path, sha256: str, chunks: Iterable[bytes], most: int) -> None:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise ProductError(
                    ErrorCode.FILE_TOO_LARGE,
                    _("A block of this catalogue has %(limit)s at most.") % {"limit": filesizeformat(most)},
                    status=413,
                )
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise _refused(_("The block's bytes are not those that it is named by: it was cut off or altered."))


def _look(path: Path, agreement: Agreement) -> None:
    """Refuse what is no block of this catalogue by its form; its numbers are looked at by nobody who cannot decrypt."""
    scheme = agreement.scheme
    counts = {scheme.columns(group) for group in (ALONE, GROUPED)}
    with path.open("rb") as file:
        try:
            begun = frames.read_start(file)
        except frames.FrameError as problem:
            raise _refused(_("This is no block: %(why)s.") % {"why": problem}) from problem
        begins = file.tell()
    if begun is None:
        raise _refused(_("This is no block: it is empty."))
    head, sizes = begun
    if head.get("tag") != agreement.digest:
        raise _refused(_("This block was encrypted under other keys. Use the agreement and keys of this catalogue."))
    each = scheme.block_bytes // scheme.code_length
    if len(sizes) not in counts or any(not each <= size < each + _AROUND for size in sizes):
        raise _refused(_("This is no block of codes of %(n)d bits.") % {"n": scheme.code_length})
    if path.stat().st_size != begins + sum(sizes):
        raise _refused(_("This block is cut off, or something follows it."))


def _refused(sentence: str) -> ProductError:
    return ProductError(ErrorCode.INVALID, sentence)
