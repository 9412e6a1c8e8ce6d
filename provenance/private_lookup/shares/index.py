"""Ask a catalogue in shares: split the code, have three servers compute, and join the parts of the answer again."""

from __future__ import annotations

import time
from itertools import accumulate, pairwise

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import read_signed, unseal
from provenance.private_lookup.index import Answer
from provenance.private_lookup.shares.catalogue import Manifest, read_manifest
from provenance.private_lookup.shares.computation import ANSWER_BITS, Array, unpacked, words_of
from provenance.private_lookup.shares.question import Query, write_question
from provenance.private_lookup.shares.service import RemoteShareholders


class SharedIndex:
    """A catalogue in shares on three servers, as :class:`index.PrivateIndex`.

    Args:
        servers: as the client asks them.

    Raises:
        What :meth:`RemoteShareholders.state` raises.
    """

    def __init__(self, servers: RemoteShareholders) -> None:
        self._servers = servers
        self.manifest: Manifest = read_manifest(servers.state(), servers.agreement)

    @property
    def agreement(self) -> Agreement:
        """Who holds the shares, and what may be asked."""
        return self._servers.agreement

    @property
    def entries(self) -> int:
        """How many entries the state has that is asked about."""
        return self.manifest.entries

    def ask(self, code: HashCode, *, who: bool = False) -> Answer:
        """See :meth:`index.PrivateIndex.ask`."""
        query = Query.of(code, self.agreement)
        answer = self._ask(query, Policy.BIT)
        return self._ask(query, Policy.WHO) if who and answer.matches else answer

    def _ask(self, query: Query, policy: Policy) -> Answer:
        began = time.perf_counter()
        manifest = self.manifest
        if not manifest.blocks:
            return Answer(policy, False, (), 0, 0.0, 0.0, 0, 0, manifest.id, manifest.commitments)
        reply = X25519PrivateKey.generate()
        question, asked = write_question(
            self._servers.identity, self.agreement, query, policy=policy, manifest=manifest.id, reply=reply
        )
        answers = self._servers.answer(question)
        rows = sum(block.used for block in manifest.blocks)
        size = 1 if policy is Policy.BIT else words_of(rows)
        found = np.zeros(size, "<u8")
        for party, data in zip(self.agreement.parties, answers, strict=True):
            message = read_signed(data, "answer", self.agreement.digest, {party.name: party})
            said = [message.fields.get(name) for name in ("request", "manifest", "commitments")]
            if said != [asked, manifest.id, list(manifest.commitments)] or len(message.parts) != 1:
                raise BadInput(f"{party.name} answers another question, or from other shares than the holder signed.")
            share = unseal(reply, message.parts[0], bytes.fromhex(asked))
            if len(share) != found.nbytes:
                raise BadInput(f"{party.name}'s share of the answer has another size than it must have.")
            found ^= np.frombuffer(share, "<u8")
        places = () if policy is Policy.BIT else _places(manifest, unpacked(found, rows))
        matches = bool(found.any())
        return Answer(
            policy,
            matches,
            places,
            manifest.entries,
            0.0 if policy is Policy.WHO or matches else 2.0**-ANSWER_BITS,
            time.perf_counter() - began,
            len(question) * len(answers),
            sum(len(answer) for answer in answers),
            manifest.id,
            manifest.commitments,
        )


def _places(manifest: Manifest, matching: Array) -> tuple[tuple[int, int], ...]:
    """Return block and slot of each entry that matches."""
    begins = [0, *accumulate(block.used for block in manifest.blocks)]
    return tuple(
        (number, int(slot))
        for number, (begin, end) in enumerate(pairwise(begins))
        for slot in np.flatnonzero(matching[begin:end])
    )
