"""A private catalogue: blocks of ciphertexts in a folder, and a manifest that its holder signs.

A block holds one ciphertext for each bit of a code, and its slots are the entries; in a small catalogue each entry has
several slots, so that a block is a few ciphertexts (see ``bgv_grouped``). Which, is chosen when the first entries come,
and again by :meth:`Registry.compact`. Files are named by their SHA-256 and never change; the manifest is what counts,
and writing it is the last step of every change. Beside each block lies the list of its entries' ids: the holder's own,
for evaluators and keyholders neither needed nor to be given away.

The last block is filled by adding ciphertexts to it, which needs no key but the public one. Deleting marks slots, whose
masks are then zero; what was deleted stays in the ciphertexts until :meth:`Registry.compact` encrypts the rest anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.engine import Engine, FileName, JointKeys
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.holding import MANIFEST, begin_folder, read_ids, signed_manifest, write_ids
from provenance.private_lookup.identity import Identity, Message, read_signed, sign, write_whole
from provenance.private_lookup.scheme import ALONE, GROUPED, Scheme

_KIND = "manifest"


@dataclass(frozen=True)
class Block:
    """One file of ciphertexts.

    Attributes:
        sha256: of the file, which names it.
        size: bytes.
        used: places from the first on that hold an entry, deleted ones too.
        deleted: places whose entries were deleted, ascending.
    """

    sha256: str
    size: int
    used: int
    deleted: tuple[int, ...] = ()

    @property
    def entries(self) -> int:
        """Entries that were not deleted."""
        return self.used - len(self.deleted)

    def slots(self, ring: int, *, alive: bool) -> npt.NDArray[np.bool_]:
        """Return bool ``[ring]``: which places are used, without the deleted ones where only those alive are wanted.

        A place is a slot, the first one of an entry that has several.
        """
        found = np.arange(ring) < self.used
        if alive:
            found[list(self.deleted)] = False
        return found


@dataclass(frozen=True)
class Manifest:
    """What a catalogue consists of.

    Attributes:
        catalogue: its name.
        sequence: grows with every change, so that an old state cannot be passed off as the present one.
        blocks: its blocks.
        group: slots of an entry, ``scheme.ALONE`` or ``scheme.GROUPED``.
        id: SHA-256 of what was signed, 64 hex digits; "" before it is.
    """

    catalogue: str
    sequence: int
    blocks: tuple[Block, ...]
    group: int = ALONE
    id: str = ""

    @property
    def entries(self) -> int:
        """Entries that were not deleted."""
        return sum(block.entries for block in self.blocks)

    def number(self, block: int, place: int) -> int:
        """Return the number of an entry, from 1 on; deleted ones count too. It stays until blocks are compacted."""
        return sum(one.used for one in self.blocks[:block]) + place + 1

    def fields(self) -> dict[str, Any]:
        """Return what is signed."""
        blocks = [
            {"sha256": block.sha256, "size": block.size, "used": block.used, "deleted": list(block.deleted)}
            for block in self.blocks
        ]
        return {"catalogue": self.catalogue, "sequence": self.sequence, "group": self.group, "blocks": blocks}


def read_manifest(data: bytes, agreement: Agreement) -> Manifest:
    """Read a manifest that the agreement's holder signed.

    Raises:
        BadInput: it is none, or another's.
    """
    message = read_signed(data, _KIND, agreement.digest, {agreement.holder.name: agreement.holder})
    return _manifest(message, agreement.scheme)


def _manifest(message: Message, scheme: Scheme) -> Manifest:
    try:
        found = message.fields
        group = int(found["group"])
        if group not in (ALONE, GROUPED):
            raise ValueError(group)
        blocks = tuple(
            Block(str(one["sha256"]), int(one["size"]), int(one["used"]), tuple(int(slot) for slot in one["deleted"]))
            for one in found["blocks"]
        )
        for block in blocks:
            slots = (-1, *block.deleted, block.used)
            if len(bytes.fromhex(block.sha256)) != 32 or not 0 < block.used <= scheme.entries(group):
                raise ValueError(block.sha256)
            if any(one >= other for one, other in pairwise(slots)):
                raise ValueError(block.deleted)
        return Manifest(str(found["catalogue"]), int(found["sequence"]), blocks, group, message.id)
    except (KeyError, TypeError, ValueError) as problem:
        raise BadInput("A manifest has a field that is missing or has the wrong form.") from problem


class Registry:
    """A catalogue's folder.

    Args:
        folder: where it is; :meth:`create` makes it.
        agreement: under whose keys it is encrypted.

    Raises:
        BadInput: there is no manifest of that agreement's holder.
    """

    def __init__(self, folder: Path, agreement: Agreement) -> None:
        self.folder = folder
        self.agreement = agreement
        self.signed = signed_manifest(folder)
        self.manifest = read_manifest(self.signed, agreement)

    @classmethod
    def create(cls, folder: Path, agreement: Agreement, holder: Identity, catalogue: str) -> Registry:
        """Make an empty catalogue.

        Raises:
            Refused: the folder has one, or this is not the agreement's holder.
        """
        begin_folder(folder, _KIND, agreement, holder, Manifest(catalogue, 0, ()).fields())
        return cls(folder, agreement)

    def file(self, block: Block) -> FileName:
        """Return where a block is."""
        return FileName(self.folder / f"{block.sha256}.block", block.sha256)

    def ids(self, block: Block) -> list[str]:
        """Return the ids of a block's slots; only the holder's folder has them.

        Raises:
            BadInput: they are not here.
        """
        return read_ids(self.folder, block.sha256)

    def living(self) -> list[str]:
        """Return the ids of all entries that were not deleted. Raises BadInput where they are not here."""
        return [
            name
            for block in self.manifest.blocks
            for slot, name in enumerate(self.ids(block))
            if slot not in set(block.deleted)
        ]

    def names(self) -> list[str]:
        """Return the ids of all entries, deleted ones too. Raises BadInput where they are not here."""
        return [name for block in self.manifest.blocks for name in self.ids(block)]

    def append(
        self,
        entries: Sequence[tuple[str, bytes]],
        holder: Identity,
        keys: JointKeys,
        engine: Engine,
        expected: int = 0,
    ) -> Manifest:
        """Encrypt entries and add them: ids, and packed codes of ``code_length / 8`` bytes.

        Args:
            expected: how many entries there will be, where these are the first of many.

        Raises:
            BadInput: a code has another length, or an id is there already.
        """
        size = self.agreement.scheme.code_length // 8
        names = [name for name, _code in entries]
        if len(set(names)) != len(names) or set(names).intersection(self.names()):
            raise BadInput("An entry is there already. Delete it and compact the catalogue first.")
        if any(len(code) != size for _name, code in entries):
            raise BadInput(f"A code is not of {self.agreement.scheme.code_length} bits.")
        blocks, old = list(self.manifest.blocks), []
        group = self.manifest.group if blocks else self.agreement.scheme.group_for(max(expected, len(entries)))
        size = self.agreement.scheme.entries(group)
        left = list(entries)
        while left:
            last = blocks[-1] if blocks and blocks[-1].used < size else None
            room = size - (last.used if last else 0)
            some, left = left[:room], left[room:]
            if last:
                old.append(blocks.pop())
            blocks.append(self._encrypt(some, last, group, keys, engine))
        return self._publish(blocks, group, holder, old)

    def delete(self, names: Iterable[str], holder: Identity) -> Manifest:
        """Mark entries as deleted: from this manifest on they match nothing.

        Raises:
            BadInput: one of them is not there.
        """
        left = set(names)
        blocks = []
        for block in self.manifest.blocks:
            gone = {slot for slot, name in enumerate(self.ids(block)) if name in left} - set(block.deleted)
            left -= {self.ids(block)[slot] for slot in gone}
            blocks.append(replace(block, deleted=tuple(sorted(gone.union(block.deleted)))))
        if left:
            raise BadInput(f"The catalogue has no entry {sorted(left)[0]}.")
        return self._publish(blocks, self.manifest.group, holder, [])

    def restore(self, names: Iterable[str], holder: Identity) -> Manifest:
        """Take back that entries were deleted; those that were compacted away must be appended anew.

        Raises:
            BadInput: one of them is not there, or is not deleted.
        """
        left = set(names)
        blocks = []
        for block in self.manifest.blocks:
            ids = self.ids(block)
            back = {slot for slot in block.deleted if ids[slot] in left}
            left -= {ids[slot] for slot in back}
            blocks.append(replace(block, deleted=tuple(slot for slot in block.deleted if slot not in back)))
        if left:
            raise BadInput(f"The catalogue has no deleted entry {sorted(left)[0]}.")
        return self._publish(blocks, self.manifest.group, holder, [])

    def compact(self, code_of: Callable[[str], bytes], holder: Identity, keys: JointKeys, engine: Engine) -> Manifest:
        """Encrypt anew what is left of blocks with deleted entries, and remove their files.

        Where the catalogue has outgrown its kind of blocks, or shrunk below it, all blocks are encrypted anew.

        Args:
            code_of: returns an entry's packed code; nothing here can read it out of the ciphertexts.
        """
        group = self.agreement.scheme.group_for(self.manifest.entries)
        same = group == self.manifest.group
        kept = [block for block in self.manifest.blocks if same and not block.deleted]
        old = [block for block in self.manifest.blocks if not same or block.deleted]
        names = [name for block in old for slot, name in enumerate(self.ids(block)) if slot not in set(block.deleted)]
        size = self.agreement.scheme.entries(group)
        made = []
        for start in range(0, len(names), size):
            some = [(name, code_of(name)) for name in names[start : start + size]]
            made.append(self._encrypt(some, None, group, keys, engine))
        # A block that is not full stays the last, which is the one that is filled.
        blocks = sorted([*kept, *made], key=lambda block: block.used < size)
        return self._publish(blocks, group, holder, old)

    def _encrypt(
        self, entries: Sequence[tuple[str, bytes]], onto: Block | None, group: int, keys: JointKeys, engine: Engine
    ) -> Block:
        unnamed = self.folder / "new.block"
        codes = b"".join(code for _name, code in entries)
        base = (self.file(onto), onto.used) if onto else None
        file, size = engine.encrypt_block(keys, codes, unnamed, base, group)
        names = [*(self.ids(onto) if onto else []), *(name for name, _code in entries)]
        block = Block(file.sha256, size, len(names), onto.deleted if onto else ())
        write_ids(self.folder, block.sha256, names)
        unnamed.replace(self.file(block).path)
        return block

    def _publish(self, blocks: Sequence[Block], group: int, holder: Identity, old: Sequence[Block]) -> Manifest:
        manifest = Manifest(self.manifest.catalogue, self.manifest.sequence + 1, tuple(blocks), group)
        signed = sign(holder, _KIND, self.agreement.digest, manifest.fields())
        # Nothing that only this agreement's holder may sign leaves here under another's signature.
        self.manifest = read_manifest(signed, self.agreement)
        write_whole(self.folder / MANIFEST, signed)
        self.signed = signed
        for block in old:
            for suffix in ("block", "ids"):
                (self.folder / f"{block.sha256}.{suffix}").unlink(missing_ok=True)
        return self.manifest
