"""What any private catalogue has in its holder's folder: a manifest that the holder signs, and lists of its entries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import Identity, sign, write_whole

MANIFEST = "manifest"


def begin_folder(
    folder: Path, kind: str, agreement: Agreement, holder: Identity, fields: dict[str, Any]
) -> None:
    """Make a folder with the manifest of an empty catalogue.

    Args:
        kind: of the manifest's message.
        fields: what the manifest says.

    Raises:
        Refused: the folder has one, or this is not the agreement's holder.
    """
    if holder.public != agreement.holder:
        raise Refused(f"{holder.name} does not hold the catalogue of this agreement.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / MANIFEST).exists():
        raise Refused(f"{folder} has a catalogue already.")
    write_whole(folder / MANIFEST, sign(holder, kind, agreement.digest, fields))


def signed_manifest(folder: Path) -> bytes:
    """Return a folder's manifest, as it was signed.

    Raises:
        BadInput: there is none.
    """
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError as problem:
        raise BadInput(f"{folder} is no private catalogue: {problem.strerror}.") from problem


def write_ids(folder: Path, block: str, ids: Sequence[str]) -> None:
    """Write the ids of a block's entries, in order, beside the block of that name."""
    write_whole(folder / f"{block}.ids", json.dumps(ids).encode())


def read_ids(folder: Path, block: str) -> list[str]:
    """Return what :func:`write_ids` wrote; only the holder's folder has it.

    Raises:
        BadInput: it is not here.
    """
    try:
        found: list[str] = json.loads((folder / f"{block}.ids").read_bytes())
    except (OSError, ValueError) as problem:
        raise BadInput(f"{folder} has no list of the entries of block {block[:12]}.") from problem
    return found
