"""The key of signatures in a file that only its owner reads."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

_HEAD = "provenance-signature-key-v1 "
_BYTES = 32
_MOST_BYTES = 1024


class KeyUnreadable(ValueError):
    """The file has no key of signatures in it; the message never shows what it has."""


def make_key(path: Path) -> None:
    """Write a new key, 32 random bytes in base 64, to a file that only this user can read (mode 0600).

    Raises:
        FileExistsError: there is a file already; a key that is overwritten vouches for nothing any more.
        OSError: it cannot be written.
    """
    text = _HEAD + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode() + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(text)


def read_key(path: Path) -> bytes:
    """Return the 32 bytes of a key that :func:`make_key` wrote.

    Raises:
        KeyUnreadable: it is no such file.
        OSError: it cannot be read.
    """
    with path.open("rb") as handle:
        data = handle.read(_MOST_BYTES)
    try:
        text = data.decode("ascii").strip()
        if not text.startswith(_HEAD):
            raise ValueError
        key = base64.b64decode(text.removeprefix(_HEAD), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise KeyUnreadable(f"{path} is no key of signatures. 'provenance signing-key FILE' makes one.") from None
    if len(key) != _BYTES:
        raise KeyUnreadable(f"{path} has a key of {len(key)} bytes, not of {_BYTES}: it was cut or altered.")
    return key


def others_can_read(path: Path) -> bool:
    """Say whether users other than the file's owner may read it."""
    return bool(path.stat().st_mode & 0o077)
