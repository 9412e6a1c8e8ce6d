"""Uploaded and derived files, stored under a name that only we choose.

A file is kept at MEDIA_ROOT/<area>/<first two hex digits>/<key>. A key is a SHA-256 in hex, or a UUID with a
fixed suffix; names from outside are never part of a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from django.conf import settings

_KEY = re.compile(r"[0-9a-f]{32,64}(-[a-z0-9_]{1,40})?(\.[a-z0-9]{1,5})?")


class Area(StrEnum):
    """What a file is kept for; one folder each, so that retention and back-up can differ."""

    CHECKS = "checks"
    WORKS = "works"
    IMPORTS = "imports"
    DERIVED = "derived"
    ARTWORKS = "artworks"
    DEEPHASH = "deephash"
    SIGNATURES = "signatures"


def path_of(area: Area, key: str) -> Path:
    """Return where the file of that key lies, whether or not it exists.

    Raises:
        ValueError: the key is not one that this module makes.
    """
    if not _KEY.fullmatch(key):
        raise ValueError("not a storage key")
    return Path(settings.MEDIA_ROOT) / area / key[:2] / key


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 (FIPS 180-4) of the bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def write(area: Area, key: str, data: bytes, *, durable: bool = True) -> Path:
    """Store bytes under a key so that a crash leaves either the whole file or none; return its path.

    Args:
        durable: False for what can be made again, and so need not be on the disk before this returns.
    """
    return write_chunks(area, key, (data,), durable=durable)


def write_chunks(area: Area, key: str, chunks: Iterable[bytes], *, durable: bool = True) -> Path:
    """Like :func:`write`, for what is too large for memory or comes piece by piece."""
    target = path_of(area, key)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            for chunk in chunks:
                handle.write(chunk)
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def read(area: Area, key: str) -> bytes:
    """Return the bytes stored under a key.

    Raises:
        FileNotFoundError: nothing is stored there (any more).
    """
    return path_of(area, key).read_bytes()


def delete(area: Area, key: str) -> None:
    """Remove a file; one that is gone already is fine."""
    path_of(area, key).unlink(missing_ok=True)


def keys_older_than(area: Area, seconds: float) -> Iterator[str]:
    """Yield the keys of files that were last written so long ago. The order is arbitrary."""
    limit = time.time() - seconds
    for folder in (Path(settings.MEDIA_ROOT) / area).glob("??"):
        for entry in os.scandir(folder):
            try:
                old = entry.stat().st_mtime < limit
            except FileNotFoundError:
                # Deleted between the listing and the look at it.
                continue
            if old and _KEY.fullmatch(entry.name):
                yield entry.name


def remove_unfinished(area: Area, seconds: float) -> None:
    """Remove what killed processes left half-written so long ago."""
    limit = time.time() - seconds
    for path in (Path(settings.MEDIA_ROOT) / area).glob("??/.writing-*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < limit:
                path.unlink()
