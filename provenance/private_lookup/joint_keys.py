"""The joint keys as they lie in a folder: public, for whoever encrypts or evaluates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import rfc8785

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.engine import FileName, JointKeys
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import write_whole

_LIST = "keys.json"
_MOST_BYTES = 1 << 16


def write_keys(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the list of a folder's files, name to SHA-256, once they are all there."""
    write_whole(folder / _LIST, rfc8785.dumps(dict(sums)))


def keys_digest(folder: Path) -> str:
    """Return SHA-256 of the list: joint keys are the same where it is.

    Raises:
        BadInput: there is no list.
    """
    return hashlib.sha256(_list(folder)).hexdigest()


def read_keys(folder: Path, agreement: Agreement) -> JointKeys:
    """Return the joint keys. Their files are proved when they are used.

    Raises:
        BadInput: they are not there, or not those of the agreement's scheme.
    """
    try:
        sums = {str(name): str(digest) for name, digest in json.loads(_list(folder)).items()}
        files = {name: FileName(folder / name, digest) for name, digest in sums.items()}
        indices = agreement.scheme.automorphisms
        return JointKeys(files["public"], files["relin"], {index: files[f"automorphism-{index}"] for index in indices})
    except (ValueError, KeyError, AttributeError) as problem:
        raise BadInput(f"{folder} does not hold the joint keys of {agreement.scheme_id}.") from problem


def keep_key(folder: Path, name: str, data: bytes) -> str:
    """Write one key and return its SHA-256."""
    write_whole(folder / name, data)
    return hashlib.sha256(data).hexdigest()


def _list(folder: Path) -> bytes:
    try:
        data = (folder / _LIST).read_bytes()
    except OSError as problem:
        raise BadInput(f"{folder} holds no joint keys: {problem.strerror}.") from problem
    if len(data) > _MOST_BYTES:
        raise BadInput(f"{folder} holds no joint keys: its list is too large.")
    return data
