"""A shareholder: one of three servers that hold shares of a catalogue and compute on them together, always online.

It begins with the holder's *offer* of a state: it proves that its shares are those that the holder signed, and turns
them, with the other two, from bits into numbers, which it keeps encrypted. A *question* is proved and counted, then
answered with a share that its client alone can read. What is computed, and what it hides, is in ``computation``.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.identity import seal, sign
from provenance.private_lookup.member import Member
from provenance.private_lookup.scheme import SHARE_SERVERS, Mode
from provenance.private_lookup.shares.catalogue import Block, Manifest, open_block, read_manifest
from provenance.private_lookup.shares.computation import Array, Computation, Link, Pair, margin_bits, packed
from provenance.private_lookup.shares.question import Question, read_question


class Neighbourhood(Protocol):
    """What leads to the two other servers. All three know a computation by the same name."""

    def join(self, session: str) -> AbstractContextManager[Link]:
        """Open both connections for one computation. Raises KeyholderUnreachable."""

    def refuse(self, session: str) -> None:
        """Take no part in a computation, so that nobody waits for us."""


@dataclass(frozen=True)
class _State:
    """A catalogue's state in memory.

    Attributes:
        manifest: the holder's.
        signed: as the holder signed it.
        numbers: uint16 ``[code_length, n]``, two components of all blocks' entries.
        ones: uint16 ``[n]``, the own component of how many bits of each entry are 1.
        alive: uint64 ``[words]``, packed: which entries were not deleted.
    """

    manifest: Manifest
    signed: bytes
    numbers: Pair
    ones: Array
    alive: Array


class Shareholder(Member):
    """One of the three servers, from its folder. One process at a time uses a folder; its threads may share this.

    Args:
        folder: as :meth:`create` made it.
        passphrase: opens it.
        shares: the folder that the holder gave: the manifest and this server's sealed shares; for serving.

    Raises:
        BadInput: the folder holds no shareholder, or its journal was altered.
        Refused: another process uses it.
        WrongPassphrase: it does not open.
    """

    role = "shareholder"

    def __init__(self, folder: Path, passphrase: str, *, shares: Path | None = None) -> None:
        super().__init__(folder, passphrase)
        self._shares = shares
        self._state: _State | None = None
        # The journal has one writer at a time; states change one after the other.
        self._writing, self._admitting = threading.Lock(), threading.Lock()

    def agree(self, agreement: Agreement) -> None:
        """Take an agreement as ours, once and for all.

        Raises:
            Refused: it is not about shares, we are no party of it, or have agreed to another.
        """
        if agreement.mode is not Mode.SHARES:
            raise Refused("This agreement is not about shares. For keyholders: provenance keyholder agree.")
        super().agree(agreement)

    def load(self) -> str:
        """Take up the state that was admitted last, where there is one; return in words what is answered about.

        Raises:
            BadInput: its shares are missing, or are not those that the holder signed.
        """
        admitted = [entry.fields for entry in self.journal.entries if entry.event == "admitted"]
        signed = self._given()
        manifest = read_manifest(signed, self.agreement)
        if not admitted or admitted[-1]["manifest"] != manifest.id:
            return f"State {manifest.sequence} of {manifest.catalogue} has to be offered by its holder first."
        for block in manifest.blocks:
            self._open(block)
        self._state = self._read_state(manifest, signed)
        return f"State {manifest.sequence} of {manifest.catalogue}: {manifest.entries:,} entries."

    def state(self) -> bytes:
        """Return the manifest of the state that questions are answered about, as its holder signed it.

        Raises:
            Refused: there is none yet.
        """
        return self._present().signed

    def answer(self, data: bytes, neighbours: Neighbourhood) -> bytes:
        """Answer a question together with the two others.

        Raises:
            BadInput: it is none, or its sender is not known.
            Refused: it asks for what was not agreed to, about another state, or too often.
            KeyholderUnreachable: another server is not there, or went away in the middle.
        """
        agreement = self.agreement
        question = read_question(data, agreement, self.clients(), self.identity)
        try:
            state = self._begin(question)
        except Refused:
            neighbours.refuse(question.id)
            raise
        with neighbours.join(question.id) as link:
            computation = self._computation(question.id, link)
            query = computation.to_numbers(question.bits)
            margins = computation.margins(state.numbers, state.ones, query, agreement.tau)
            within = computation.within(margins, margin_bits(agreement.code_length, agreement.tau))
            matching = within[0] & state.alive, within[1] & state.alive
            found = computation.any_of(matching) if question.policy is Policy.BIT else computation.each_of(matching)
        with self._writing:
            self.journal.append("released", question=question.id, client=question.client)
            fields = {
                "request": question.id,
                "manifest": state.manifest.id,
                "commitments": list(state.manifest.commitments),
                "journal": self.journal.last_hash,
            }
        share = seal(question.reply, found.tobytes(), bytes.fromhex(question.id))
        return sign(self.identity, "answer", agreement.digest, fields, (share,))

    def admit(self, signed: bytes, attempt: str, neighbours: Neighbourhood) -> bytes:
        """Check a catalogue's new state together with the two others; from then on, answer questions about it alone.

        Args:
            attempt: 64 hex digits that the holder draws anew each time.

        Raises:
            BadInput: it is not signed by the holder, or the shares are not those that were signed.
            Refused: it is older than one that was admitted, or not the one in the folder.
            KeyholderUnreachable: another server is not there, or went away in the middle.
        """
        with self._admitting:
            manifest = read_manifest(signed, self.agreement)
            session = hashlib.sha256(f"offer {manifest.id} {attempt}".encode()).hexdigest()
            try:
                self._prove_newer(manifest)
                if signed != self._given():
                    raise Refused(f"{self.identity.name} was not given state {manifest.sequence}, but another.")
                bits = [self._open(block) for block in manifest.blocks]
            except (BadInput, Refused):
                neighbours.refuse(session)
                raise
            with neighbours.join(session) as link:
                missing = bytes(f"numbers-{block.id}" not in self._vault for block in manifest.blocks)
                # A server that was killed while it admitted a block lacks what the others have.
                missing = self._computation(session, link).gather(missing)
                for block, pair, needed in zip(manifest.blocks, bits, missing, strict=True):
                    if needed:
                        numbers = self._computation(block.id, link).to_numbers(pair)
                        self._vault.keep(f"numbers-{block.id}", b"".join(one.tobytes() for one in numbers))
            self._state = self._read_state(manifest, signed)
            with self._writing:
                self.journal.append(
                    "admitted",
                    manifest=manifest.id,
                    catalogue=manifest.catalogue,
                    sequence=manifest.sequence,
                    entries=manifest.entries,
                    commitments=list(manifest.commitments),
                )
                fields = {"request": manifest.id, "journal": self.journal.last_hash}
            self._forget(manifest)
            return sign(self.identity, "admit", self.agreement.digest, fields)

    def _begin(self, question: Question) -> _State:
        state = self._present()
        if question.manifest != state.manifest.id:
            raise Refused("The question is not about the catalogue's present, checked state.")
        self.agreement.prove_allowed(question.policy)
        with self._writing:
            self._count(question.id, question.client, question.policy, question.manifest, question.query)
        return state

    def _present(self) -> _State:
        if self._state is None:
            raise Refused(f"{self.identity.name} was not offered any state yet. The holder has to: catalogue offer.")
        return self._state

    def _given(self) -> bytes:
        if self._shares is None:
            raise BadInput(f"{self.identity.name} was not told where its shares are.")
        try:
            return (self._shares / MANIFEST).read_bytes()
        except OSError as problem:
            raise BadInput(f"{self._shares} holds no shares: {problem.strerror}.") from problem

    def _prove_newer(self, manifest: Manifest) -> None:
        for entry in self.journal.entries:
            fields = entry.fields
            if entry.event != "admitted" or fields["manifest"] == manifest.id:
                continue
            if fields["catalogue"] != manifest.catalogue:
                raise Refused(f"{self.identity.name} holds shares of {fields['catalogue']}: one folder, one catalogue.")
            if fields["sequence"] >= manifest.sequence:
                raise Refused(f"State {manifest.sequence} is offered after state {fields['sequence']} was checked.")

    def _open(self, block: Block) -> Pair:
        if self._shares is None:
            raise BadInput(f"{self.identity.name} was not told where its shares are.")
        return open_block(self._shares, block, self.agreement, self._place, self.identity)

    def _read_state(self, manifest: Manifest, signed: bytes) -> _State:
        length, count = self.agreement.code_length, sum(block.used for block in manifest.blocks)
        numbers = np.empty((length, count), np.uint16), np.empty((length, count), np.uint16)
        begin = 0
        for block in manifest.blocks:
            if f"numbers-{block.id}" not in self._vault:
                raise BadInput(f"The numbers of block {block.id[:12]} are missing. The holder has to offer it again.")
            data = np.frombuffer(self._vault[f"numbers-{block.id}"], "<u2").reshape(2, length, block.used)
            for component, found in zip(numbers, data, strict=True):
                component[:, begin : begin + block.used] = found
            begin += block.used
        alive = np.concatenate([np.zeros(0, bool), *(block.alive for block in manifest.blocks)])
        return _State(manifest, signed, numbers, numbers[0].sum(axis=0, dtype=np.uint16), packed(alive))

    def _forget(self, manifest: Manifest) -> None:
        """Remove the numbers of blocks that the catalogue has no more."""
        kept = {f"numbers-{block.id}" for block in manifest.blocks}
        for name in self._vault.names():
            if name.startswith("numbers-") and name not in kept:
                self._vault.remove(name)

    @property
    def _place(self) -> int:
        return self.agreement.parties.index(self.identity.public)

    def _computation(self, about: str, link: Link) -> Computation:
        own, other = (self._key((self._place + step) % SHARE_SERVERS) for step in (-1, 1))
        return Computation(self._place, (own, other), bytes.fromhex(about), link)

    def _key(self, place: int) -> bytes:
        """Return the key that we share with another server, and that the third does not know."""
        other = X25519PublicKey.from_public_bytes(bytes.fromhex(self.agreement.parties[place].sealing))
        info = b"provenance shares v1\0" + bytes.fromhex(self.agreement.digest)
        return HKDF(SHA256(), 32, None, info).derive(self.identity.sealing.exchange(other))
