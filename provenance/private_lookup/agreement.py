"""What the parties agreed to, once, before there is any key: everything else that they do names its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import rfc8785

from provenance.hashing.code import HashCode
from provenance.private_lookup.circuit import Circuit, Policy, compile_circuit
from provenance.private_lookup.errors import BadInput, Refused, SchemeError
from provenance.private_lookup.identity import PublicIdentity
from provenance.private_lookup.quorum import sub_keys
from provenance.private_lookup.scheme import SHARE_SERVERS, SHARES, Mode, Scheme, check_tau, scheme

_VERSION = 1
_MOST_PARTIES = 8
# Every sub-key takes part in the making of all keys, and in every decryption.
_MOST_SUB_KEYS = 20
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Agreement:
    """Who holds the shares, who holds the catalogue, and what may be asked.

    Attributes:
        scheme_id: parameters of the encryption, or how shares are made; says which of the two it is.
        algorithm: of the codes, such as ``dinohash-house-v2``; codes of another are not encrypted under these keys.
        tau: the largest distance that matches, in bits.
        policies: what may be asked.
        parties: the keyholders, of whom the first leads; or the three servers that hold shares.
        holder: signs the catalogue's manifests.
        daily_answers: how many questions of one client are answered in 24 hours. About a hundred answers near
            an entry are enough to find it out bit by bit, so keep this far below.
        needed: how many keyholders decrypt together, whichever they are; None for all.
    """

    scheme_id: str
    algorithm: str
    tau: int
    policies: tuple[Policy, ...]
    parties: tuple[PublicIdentity, ...]
    holder: PublicIdentity
    daily_answers: int = 20
    needed: int | None = None

    def __post_init__(self) -> None:
        check_tau(self.tau)
        if self.mode is Mode.ENCRYPTED:
            scheme(self.scheme_id)
        elif len(self.parties) != SHARE_SERVERS or self.needed is not None:
            raise SchemeError(f"Shares are held by {SHARE_SERVERS} servers, no fewer and no more, and all are needed.")
        names = [party.name for party in self.parties]
        keys = [party.signing for party in self.parties]
        if not 2 <= len(names) <= _MOST_PARTIES or len(set(names)) != len(names) or len(set(keys)) != len(keys):
            raise SchemeError(f"An agreement is of 2 to {_MOST_PARTIES} parties of different names and keys.")
        if not self.policies or self.daily_answers < 1:
            raise SchemeError("An agreement allows at least one policy and one answer a day.")
        if self.needed == len(names):
            raise SchemeError("An agreement that needs all keyholders does not count them.")
        if len(self.sub_keys) > _MOST_SUB_KEYS:
            raise SchemeError(f"{self.quorum} of {len(names)} keyholders would take {len(self.sub_keys)} sub-keys.")

    @property
    def mode(self) -> Mode:
        """How the catalogue is kept."""
        return Mode.SHARES if self.scheme_id in SHARES else Mode.ENCRYPTED

    @property
    def code_length(self) -> int:
        """Bits of a code."""
        return SHARES[self.scheme_id] if self.mode is Mode.SHARES else self.scheme.code_length

    @property
    def scheme(self) -> Scheme:
        """The parameters of the encryption. Raises SchemeError where there is none: the catalogue is in shares."""
        if self.mode is Mode.SHARES:
            raise SchemeError("This agreement is about shares: there is nothing encrypted, and there are no keys.")
        return scheme(self.scheme_id)

    @property
    def by_name(self) -> dict[str, PublicIdentity]:
        """The parties."""
        return {party.name: party for party in self.parties}

    @property
    def quorum(self) -> int:
        """How many keyholders take part in an answer."""
        return len(self.parties) if self.needed is None else self.needed

    @property
    def daily_answers_each(self) -> int:
        """How many of one client's questions each party answers: of T of N a client may choose others each time."""
        return max(1, self.daily_answers * self.quorum // len(self.parties))

    @cached_property
    def sub_keys(self) -> list[tuple[str, ...]]:
        """Who holds each part of the secret; the engine's ``parties`` are as many as these."""
        return sub_keys([party.name for party in self.parties], self.quorum)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form, 64 hex digits; it names the joint keys too."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def prove_allowed(self, policy: Policy) -> None:
        """Refuse what was not agreed to.

        Raises:
            Refused: the policy is not among those that were.
        """
        if policy not in self.policies:
            raise Refused(f"'{policy}' was not agreed to: what is answered is {', '.join(self.policies)}.")

    def prove_code(self, code: HashCode) -> None:
        """Refuse a code that cannot be compared with the catalogue's.

        Raises:
            BadInput: it is of another algorithm or length.
        """
        if code.algorithm != self.algorithm or code.length != self.code_length:
            raise BadInput(
                f"The catalogue holds codes of {self.algorithm}, {self.code_length} bits;"
                f" this one is of {code.algorithm}, {code.length} bits."
            )

    def circuit(self, policy: Policy) -> Circuit:
        """Return what is evaluated.

        Raises:
            Refused: the policy was not agreed to.
            SchemeError: the catalogue is in shares.
        """
        self.prove_allowed(policy)
        return compile_circuit(policy, self.scheme.code_length, self.tau)

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785)."""
        return rfc8785.dumps(
            {
                "version": _VERSION,
                "scheme": self.scheme_id,
                "algorithm": self.algorithm,
                "tau": self.tau,
                "policies": [str(policy) for policy in self.policies],
                "parties": [party.to_dict() for party in self.parties],
                "holder": self.holder.to_dict(),
                "daily_answers": self.daily_answers,
                **({} if self.needed is None else {"needed": self.needed}),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Agreement:
        """Read an agreement.

        Raises:
            BadInput: it is none of this version, or not in its canonical form.
            SchemeError: what it says is not offered.
        """
        try:
            if len(data) > _MOST_BYTES:
                raise BadInput("This is no agreement: it is too large.")
            found = json.loads(data)
            if found["version"] != _VERSION:
                raise BadInput(f"This agreement has the version {found['version']}, not {_VERSION}.")
            agreement = cls(
                str(found["scheme"]),
                str(found["algorithm"]),
                int(found["tau"]),
                tuple(Policy(policy) for policy in found["policies"]),
                tuple(PublicIdentity.from_dict(party) for party in found["parties"]),
                PublicIdentity.from_dict(found["holder"]),
                int(found["daily_answers"]),
                int(found["needed"]) if "needed" in found else None,
            )
        except (ValueError, KeyError, TypeError, RecursionError) as problem:
            raise BadInput("This is no agreement: something in it is missing or has the wrong form.") from problem
        if agreement.to_json() != data:
            raise BadInput("This agreement is not in its canonical form.")
        return agreement
