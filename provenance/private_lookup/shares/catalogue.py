"""A catalogue in shares: what its holder makes on its own machine, signs, and gives to each of the three servers.

A code's bits are split by XOR into three components, of which each server gets two. For each component of a block there
is a Merkle tree whose leaves are the entries' shares, each with a salt, so that a root tells nothing; the holder signs
the roots. Files are sealed for the server that they are for, so that they may travel and lie by any means.

The holder keeps the entries' ids and needs neither the shares nor the codes again, but for making a block anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from provenance.private_lookup import frames
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.holding import MANIFEST, begin_folder, read_ids, signed_manifest, write_ids
from provenance.private_lookup.identity import MOST_MESSAGE, Identity, read_signed, seal, sign, unseal, write_whole
from provenance.private_lookup.scheme import SHARE_SERVERS
from provenance.private_lookup.shares import merkle
from provenance.private_lookup.shares.computation import Pair

_KIND = "manifest of shares"
_SALT = 16
# Entries of a block at most, so that no file and no message becomes too large.
MOST_ROWS = 1 << 15


@dataclass(frozen=True)
class Block:
    """Entries that were shared out together.

    Attributes:
        roots: Merkle roots of the three components, 64 hex digits each.
        used: how many entries it has, deleted ones too.
        deleted: which of them were deleted, ascending.
    """

    roots: tuple[str, ...]
    used: int
    deleted: tuple[int, ...] = ()

    @cached_property
    def id(self) -> str:
        """Names the block; 64 hex digits."""
        return hashlib.sha256(b"block" + bytes.fromhex("".join(self.roots))).hexdigest()

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """Bool ``[used]``: which entries were not deleted."""
        found = np.ones(self.used, bool)
        found[list(self.deleted)] = False
        return found


@dataclass(frozen=True)
class Manifest:
    """What a catalogue consists of.

    Attributes:
        catalogue: its name.
        sequence: grows with every change, so that an old state cannot be passed off as the present one.
        blocks: its blocks.
        id: SHA-256 of what was signed, 64 hex digits; "" before it is.
    """

    catalogue: str
    sequence: int
    blocks: tuple[Block, ...]
    id: str = ""

    @property
    def entries(self) -> int:
        """Entries that were not deleted."""
        return sum(block.used - len(block.deleted) for block in self.blocks)

    @property
    def commitments(self) -> tuple[str, ...]:
        """Return, for each component, the Merkle root over its blocks' roots, 64 hex digits."""
        return tuple(
            merkle.root(merkle.leaf_hash(bytes.fromhex(block.roots[component])) for block in self.blocks).hex()
            for component in range(SHARE_SERVERS)
        )

    def fields(self) -> dict[str, Any]:
        """Return what is signed."""
        blocks = [
            {"roots": list(block.roots), "used": block.used, "deleted": list(block.deleted)} for block in self.blocks
        ]
        return {"catalogue": self.catalogue, "sequence": self.sequence, "blocks": blocks}


def read_manifest(data: bytes, agreement: Agreement) -> Manifest:
    """Read a manifest that the agreement's holder signed.

    Raises:
        BadInput: it is none, or another's.
    """
    message = read_signed(data, _KIND, agreement.digest, {agreement.holder.name: agreement.holder})
    try:
        found = message.fields
        blocks = tuple(
            Block(
                tuple(str(root) for root in one["roots"]),
                int(one["used"]),
                tuple(int(place) for place in one["deleted"]),
            )
            for one in found["blocks"]
        )
        for block in blocks:
            if [len(bytes.fromhex(root)) for root in block.roots] != [32] * SHARE_SERVERS:
                raise ValueError(block.roots)
            if not 0 < block.used <= MOST_ROWS or any(a >= b for a, b in pairwise((-1, *block.deleted, block.used))):
                raise ValueError(block.used)
        if len({block.id for block in blocks}) != len(blocks):
            raise ValueError(blocks)
        return Manifest(str(found["catalogue"]), int(found["sequence"]), blocks, message.id)
    except (KeyError, TypeError, ValueError) as problem:
        raise BadInput("A manifest has a field that is missing or has the wrong form.") from problem


def open_block(folder: Path, block: Block, agreement: Agreement, place: int, identity: Identity) -> Pair:
    """Read the shares that a server was given, and prove that they are those that the holder signed.

    Returns:
        Two components, uint8 ``[code_length, used]`` of 0 and 1.

    Raises:
        BadInput: they are missing, somebody else's, or not those that were signed.
    """
    path = folder / f"{block.id}.shares"
    try:
        box = path.read_bytes()
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem
    try:
        read = frames.read(BytesIO(unseal(identity.sealing, box, _about(agreement, block))), MOST_MESSAGE)
    except frames.FrameError as problem:
        raise BadInput(f"{path} holds no shares: {problem}.") from problem
    size = agreement.code_length // 8
    parts = read[1] if read else []
    if [len(part) for part in parts] != [block.used * (_SALT + size)] * 2:
        raise BadInput(f"{path} holds no shares of {block.used} entries.")
    pair = []
    for number, part in enumerate(parts):
        rows = np.frombuffer(part, np.uint8).reshape(block.used, _SALT + size)
        if _root(rows) != block.roots[(place + number) % SHARE_SERVERS]:
            raise BadInput(f"{path}: the shares are not those that the holder signed. Get the file from it again.")
        pair.append(np.ascontiguousarray(np.unpackbits(rows[:, _SALT:], axis=1).T))
    return pair[0], pair[1]


class Catalogue:
    """The holder's folder: the manifest, the entries' ids, and a folder of sealed shares for each server.

    Args:
        folder: where it is; :meth:`create` makes it.
        agreement: who gets the shares.

    Raises:
        BadInput: there is no manifest of that agreement's holder.
    """

    def __init__(self, folder: Path, agreement: Agreement) -> None:
        self.folder = folder
        self.agreement = agreement
        self.signed = signed_manifest(folder)
        self.manifest = read_manifest(self.signed, agreement)

    @classmethod
    def create(cls, folder: Path, agreement: Agreement, holder: Identity, catalogue: str) -> Catalogue:
        """Make an empty catalogue.

        Raises:
            Refused: the folder has one, or this is not the agreement's holder.
        """
        begin_folder(folder, _KIND, agreement, holder, Manifest(catalogue, 0, ()).fields())
        made = cls(folder, agreement)
        made._give(made.signed)
        return made

    def ids(self, block: Block) -> list[str]:
        """Return the ids of a block's entries, in order.

        Raises:
            BadInput: they are not here.
        """
        return read_ids(self.folder, block.id)

    def names(self) -> list[str]:
        """Return the ids of all entries, deleted ones too. Raises BadInput where they are not here."""
        return [name for block in self.manifest.blocks for name in self.ids(block)]

    def append(self, entries: Sequence[tuple[str, bytes]], holder: Identity) -> Manifest:
        """Share out entries and add them: ids, and packed codes of ``code_length / 8`` bytes.

        Raises:
            BadInput: a code has another length, or an id is there already.
        """
        names = [name for name, _code in entries]
        if len(set(names)) != len(names) or set(names).intersection(self.names()):
            raise BadInput("An entry is there already. Delete it and make its block anew first.")
        made = [self._share_out(entries[start : start + MOST_ROWS]) for start in range(0, len(entries), MOST_ROWS)]
        return self._publish([*self.manifest.blocks, *made], holder)

    def delete(self, names: Iterable[str], holder: Identity) -> Manifest:
        """Mark entries as deleted: from this manifest on they match nothing.

        Raises:
            BadInput: one of them is not there.
        """
        left = set(names)
        blocks = []
        for block in self.manifest.blocks:
            gone = {place for place, name in enumerate(self.ids(block)) if name in left} - set(block.deleted)
            left -= {self.ids(block)[place] for place in gone}
            blocks.append(replace(block, deleted=tuple(sorted(gone.union(block.deleted)))))
        if left:
            raise BadInput(f"The catalogue has no entry {sorted(left)[0]}.")
        return self._publish(blocks, holder)

    def compact(self, code_of: Callable[[str], bytes], holder: Identity) -> Manifest:
        """Share out anew what is left of blocks with deleted entries, and remove their files.

        Args:
            code_of: returns an entry's packed code; nothing here can read it out of the shares.
        """
        kept = [block for block in self.manifest.blocks if not block.deleted]
        old = [block for block in self.manifest.blocks if block.deleted]
        names = [name for block in old for name, alive in zip(self.ids(block), block.alive, strict=True) if alive]
        made = [
            self._share_out([(name, code_of(name)) for name in names[start : start + MOST_ROWS]])
            for start in range(0, len(names), MOST_ROWS)
        ]
        manifest = self._publish([*kept, *made], holder)
        for block in old:
            (self.folder / f"{block.id}.ids").unlink(missing_ok=True)
            for party in self.agreement.parties:
                (self.folder / party.name / f"{block.id}.shares").unlink(missing_ok=True)
        return manifest

    def _share_out(self, entries: Sequence[tuple[str, bytes]]) -> Block:
        size = self.agreement.code_length // 8
        if any(len(code) != size for _name, code in entries):
            raise BadInput(f"A code is not of {self.agreement.code_length} bits.")
        codes = np.frombuffer(b"".join(code for _name, code in entries), np.uint8).reshape(len(entries), size)
        rows = [
            np.frombuffer(os.urandom(len(entries) * (_SALT + size)), np.uint8).reshape(len(entries), _SALT + size)
            for _component in range(SHARE_SERVERS)
        ]
        rows[2] = rows[2].copy()
        rows[2][:, _SALT:] = codes ^ rows[0][:, _SALT:] ^ rows[1][:, _SALT:]
        block = Block(tuple(_root(one) for one in rows), len(entries))
        for place, party in enumerate(self.agreement.parties):
            mine = frames.pack({}, [rows[place].tobytes(), rows[(place + 1) % SHARE_SERVERS].tobytes()])
            (self.folder / party.name).mkdir(mode=0o700, exist_ok=True)
            write_whole(
                self.folder / party.name / f"{block.id}.shares",
                seal(party.sealing, mine, _about(self.agreement, block)),
            )
        write_ids(self.folder, block.id, [name for name, _code in entries])
        return block

    def _publish(self, blocks: Sequence[Block], holder: Identity) -> Manifest:
        manifest = Manifest(self.manifest.catalogue, self.manifest.sequence + 1, tuple(blocks))
        signed = sign(holder, _KIND, self.agreement.digest, manifest.fields())
        # Nothing that only this agreement's holder may sign leaves here under another's signature.
        self.manifest = read_manifest(signed, self.agreement)
        write_whole(self.folder / MANIFEST, signed)
        self.signed = signed
        self._give(signed)
        return self.manifest

    def _give(self, signed: bytes) -> None:
        for party in self.agreement.parties:
            (self.folder / party.name).mkdir(mode=0o700, exist_ok=True)
            write_whole(self.folder / party.name / MANIFEST, signed)


def _root(rows: npt.NDArray[np.uint8]) -> str:
    return merkle.root(merkle.leaf_hash(row.tobytes()) for row in rows).hex()


def _about(agreement: Agreement, block: Block) -> bytes:
    return bytes.fromhex(agreement.digest) + bytes.fromhex(block.id)
