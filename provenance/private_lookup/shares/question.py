"""A question to three servers: a code's bits in three components, two for each, bound together by what is signed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import Identity, PublicIdentity, read_signed, seal, sign, unseal
from provenance.private_lookup.scheme import SHARE_SERVERS
from provenance.private_lookup.shares.computation import Pair

_KIND = "question to servers of shares"
_SALT = 32
_T = TypeVar("_T")


@dataclass(frozen=True)
class Query:
    """A code, shared out once. ``who`` is answered for the same query as ``bit`` before.

    Attributes:
        components: three, each a salt and packed bits, that XORed are the code.
    """

    components: tuple[bytes, ...]

    @classmethod
    def of(cls, code: HashCode, agreement: Agreement) -> Query:
        """Share out a code. Raises BadInput where it cannot be compared with the agreement's catalogue."""
        agreement.prove_code(code)
        size = len(code.bits)
        first, second = os.urandom(size), os.urandom(size)
        last = bytes(a ^ b ^ c for a, b, c in zip(code.bits, first, second, strict=True))
        return cls(tuple(os.urandom(_SALT) + bits for bits in (first, second, last)))

    @property
    def commitments(self) -> tuple[str, ...]:
        """What binds the client to its components: any two servers have one in common, and it must be the same."""
        return tuple(_commitment(component) for component in self.components)


@dataclass(frozen=True)
class Question:
    """What a client asks, as one of the servers reads it.

    Attributes:
        id: of this one question; asked again, it is another. All servers have the same.
        client: who asks.
        policy: what is asked.
        manifest: id of the catalogue's state that it is asked about.
        reply: X25519 public key, hex, that the shares of the answer are sealed for.
        query: digest of the query's commitments.
        bits: uint8 ``[code_length]``, two components.
    """

    id: str
    client: str
    policy: Policy
    manifest: str
    reply: str
    query: str
    bits: Pair


def write_question(
    client: Identity, agreement: Agreement, query: Query, *, policy: Policy, manifest: str, reply: X25519PrivateKey
) -> tuple[bytes, str]:
    """Return a signed question, the same for all servers, each of which can open its own part; and its id."""
    fields = {
        "policy": str(policy),
        "manifest": manifest,
        "reply": reply.public_key().public_bytes_raw().hex(),
        "commitments": list(query.commitments),
        "nonce": os.urandom(16).hex(),
    }
    about = _about(agreement, client.public, query.commitments)
    boxes = tuple(
        seal(party.sealing, b"".join(_pair_of(query.components, place)), about)
        for place, party in enumerate(agreement.parties)
    )
    signed = sign(client, _KIND, agreement.digest, fields, boxes)
    return signed, read_signed(signed, _KIND, agreement.digest, {client.name: client.public}).id


def read_question(
    data: bytes, agreement: Agreement, clients: Mapping[str, PublicIdentity], server: Identity
) -> Question:
    """Read a question as one of the servers.

    Raises:
        BadInput: it is none of this agreement's, not from one of these clients, or its parts do not fit together.
    """
    message = read_signed(data, _KIND, agreement.digest, clients)
    place = agreement.parties.index(server.public)
    try:
        policy, manifest, reply = (str(message.fields[name]) for name in ("policy", "manifest", "reply"))
        commitments = tuple(str(one) for one in message.fields["commitments"])
        if [len(bytes.fromhex(one)) for one in (reply, *commitments)] != [32] * (1 + SHARE_SERVERS):
            raise ValueError(reply)
        asked = Policy(policy)
        if len(message.parts) != SHARE_SERVERS:
            raise ValueError(len(message.parts))
    except (KeyError, TypeError, ValueError) as problem:
        raise BadInput("A question has a field that is missing or has the wrong form.") from problem
    about = _about(agreement, clients[message.sender], commitments)
    opened = unseal(server.sealing, message.parts[place], about)
    half = _SALT + agreement.code_length // 8
    components = opened[:half], opened[half:]
    if tuple(_commitment(one) for one in components) != _pair_of(commitments, place) or len(opened) != 2 * half:
        raise BadInput("A query's shares are not those that its client is bound to.")
    first, second = (np.unpackbits(np.frombuffer(one[_SALT:], np.uint8)) for one in components)
    query = hashlib.sha256("".join(commitments).encode()).hexdigest()
    return Question(message.id, message.sender, asked, manifest, reply, query, (first, second))


def _pair_of(three: Sequence[_T], place: int) -> tuple[_T, _T]:
    return three[place], three[(place + 1) % SHARE_SERVERS]


def _commitment(component: bytes) -> str:
    return hashlib.sha256(b"share of a query" + component).hexdigest()


def _about(agreement: Agreement, client: PublicIdentity, commitments: Sequence[str]) -> bytes:
    # With the key of whoever signs: boxes that another copies do not open.
    return bytes.fromhex(agreement.digest + client.signing + "".join(commitments))
