"""What a keyholder did, for ever: a log that only grows, each line bound to the one before it and signed.

A line is canonical JSON (RFC 8785). Whoever has a later line's hash notices when an earlier line is changed, left out
or added; what was cut off at the end is noticed by those who were told the last hash, which every answer carries.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provenance.private_lookup.errors import BadInput

_DOMAIN = b"provenance keyholder journal v1\0"
_START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        number: from 0 on.
        time: UTC, ISO 8601, by this machine's clock.
        event: what happened.
        fields: to what; never a clear hash, a share or a key.
    """

    number: int
    time: str
    event: str
    fields: dict[str, Any]


class Journal:
    """The log of one keyholder. One process at a time writes it.

    Args:
        path: the file, made when it is not there.
        key: signs.

    Raises:
        BadInput: the file is not what was written.
    """

    def __init__(self, path: Path, key: Ed25519PrivateKey) -> None:
        self._path = path
        self._key = key
        if path.exists():
            _drop_torn_line(path)
        self.entries, self.last_hash = read_journal(path, key.public_key().public_bytes_raw().hex())

    def append(self, event: str, **fields: Any) -> Entry:
        """Write one line; once this returns it is on the disk."""
        entry = Entry(len(self.entries), datetime.now(UTC).isoformat(timespec="seconds"), event, fields)
        said: dict[str, Any] = {
            "number": entry.number,
            "time": entry.time,
            "event": event,
            "fields": fields,
            "previous": self.last_hash,
        }
        signature = self._key.sign(_DOMAIN + rfc8785.dumps(said)).hex()
        line = rfc8785.dumps({**said, "signature": signature})
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)
        self.last_hash = hashlib.sha256(line).hexdigest()
        return entry


def read_journal(path: Path, signing: str) -> tuple[list[Entry], str]:
    """Prove a whole log and return its lines and the last one's hash.

    Args:
        signing: the keyholder's Ed25519 public key, hex.

    Raises:
        BadInput: a line is changed, missing, added or cut.
    """
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signing))
    entries: list[Entry] = []
    previous = _START
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines):
        try:
            said = json.loads(line)
            signature = bytes.fromhex(said.pop("signature"))
            key.verify(signature, _DOMAIN + rfc8785.dumps(said))
            if (said["number"], said["previous"]) != (number, previous) or not line.endswith(b"\n"):
                raise ValueError("out of its place")
            entries.append(Entry(number, said["time"], said["event"], said["fields"]))
        except (ValueError, KeyError, TypeError, InvalidSignature) as problem:
            raise BadInput(f"{path} was altered: line {number + 1} is not what this keyholder wrote.") from problem
        previous = hashlib.sha256(line[:-1]).hexdigest()
    return entries, previous


def _drop_torn_line(path: Path) -> None:
    """Take away a last line without an end: it was being written when the machine failed, and nothing followed it."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
