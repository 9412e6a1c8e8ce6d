"""Joint keys in rounds of messages: nobody ever has the whole secret.

The parties share a folder, the exchange, by whatever means; what lies there is signed, and secret parts are sealed.
Each calls :func:`take_part` until it is done. The rounds:

1. the first party's *seed* fixes the random polynomial that all public shares have in common;
2. each commits to its public share, then
3. reveals it: without the commitment, the last could choose a share that cancels the others' and hold the whole secret.
   With it go the parts of a secret that the keyholders have in common, sealed for each;
4. the first party's shares of the relinearisation and automorphism keys, then the others', which need them;
5. second shares of the relinearisation key, of the joined first ones;
6. each joins everything and signs the digest; only where all digests agree are the keys used.

What a party sends it keeps until the end and sends again unchanged: a second answer to the same question, with other
noise in it, would tell of its secret.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.errors import Refused
from provenance.private_lookup.identity import Identity, Message, Vault, read_signed, seal, sign, unseal, write_whole
from provenance.private_lookup.joint_keys import keep_key, keys_digest, write_keys

SHARE, COMMON = "share", "common"
_NONCE = 32
# What binds its sender once we saw it: a commitment that comes after our share was revealed binds to nothing.
_ONCE = ("seed", "commit")


class _Waiting(Exception):
    """A message has not come yet."""


def take_part(
    identity: Identity, agreement: Agreement, vault: Vault, folder: Path, exchange: Path, engine: Engine
) -> str | None:
    """Do all that can be done now. Return what is waited for, such as ``commit of archive``; None once keys are there.

    Args:
        vault: gets the share of the secret and the keyholders' common secret.
        folder: gets the joint keys, in ``keys``.
        exchange: the folder that the parties share.

    Raises:
        BadInput: a message is not what it should be.
        Refused: another party did not do what it had committed to.
    """
    if (folder / "keys" / "keys.json").exists() and not (folder / "outbox").exists():
        return None
    try:
        _Rounds(identity, agreement, vault, folder, exchange, engine).run()
    except _Waiting as waiting:
        return str(waiting)
    shutil.rmtree(folder / "outbox")
    return None


class _Rounds:
    def __init__(
        self, identity: Identity, agreement: Agreement, vault: Vault, folder: Path, exchange: Path, engine: Engine
    ) -> None:
        self._identity, self._agreement, self._vault, self._engine = identity, agreement, vault, engine
        self._keys, self._outbox, self._exchange = folder / "keys", folder / "outbox", exchange
        self._first = agreement.parties[0].name
        self._leads = identity.name == self._first
        self._names = [party.name for party in agreement.parties]
        for place in (self._keys, self._outbox):
            place.mkdir(mode=0o700, exist_ok=True)

    def run(self) -> None:
        if self._leads:
            self._send("seed", lambda: (self._engine.share_keys(None)[1],))
        seed = self._get(self._first, "seed")
        secret, public, nonce, contribution = self._share(seed)
        self._send("commit", lambda: (_commitment(public, nonce),))
        self._all("commit")
        self._send("reveal", lambda: (public, nonce, *self._sealed(contribution)))
        if self._leads:
            self._send_shares(secret)
        reveals = self._all("reveal")
        self._check_commitments(reveals)
        publics = [reveal.parts[0] for reveal in reveals]
        self._keep_common(reveals, contribution)
        sums = {"public": self._join("public", "public", publics)}
        self._send_shares(secret)
        joined = self._engine.join("relin_first", self._shares("relin-first"))
        self._send("relin-second", lambda: (self._engine.share_relin(secret, joined),))
        for index in self._agreement.scheme.automorphisms:
            name = f"automorphism-{index}"
            sums[name] = self._join(name, "automorphism", self._shares(name))
        sums["relin"] = self._join("relin", "relin", self._shares("relin-second"))
        write_keys(self._keys, sums)
        self._send("done", lambda: (keys_digest(self._keys).encode(),))
        for one in self._all("done"):
            if one.parts[0].decode(errors="replace") != keys_digest(self._keys):
                raise Refused(f"{one.sender} has other joint keys than we have. Begin anew with a new agreement.")

    def _share(self, seed: Message) -> tuple[bytes, bytes, bytes, bytes]:
        """Return our secret and public share, made once, a nonce and our part of the common secret."""
        if SHARE not in self._vault:
            secret, public = self._engine.share_keys(seed.parts[0])
            self._vault.keep("public", public)
            self._vault.keep("nonces", os.urandom(2 * _NONCE))
            # Last: where it is, the others are.
            self._vault.keep(SHARE, secret)
        nonces = self._vault["nonces"]
        return self._vault[SHARE], self._vault["public"], nonces[:_NONCE], nonces[_NONCE:]

    def _sealed(self, contribution: bytes) -> list[bytes]:
        about = self._agreement.digest.encode()
        return [seal(party.sealing, contribution, about) for party in self._agreement.parties]

    def _check_commitments(self, reveals: list[Message]) -> None:
        for reveal, commit in zip(reveals, self._all("commit"), strict=True):
            public, nonce, *boxes = reveal.parts
            if commit.parts != (_commitment(public, nonce),) or len(boxes) != len(self._names):
                raise Refused(f"{reveal.sender} revealed another share than it had committed to.")

    def _keep_common(self, reveals: list[Message], contribution: bytes) -> None:
        ours = self._names.index(self._identity.name)
        about = self._agreement.digest.encode()
        found = [unseal(self._identity.sealing, reveal.parts[2 + ours], about) for reveal in reveals]
        if found[ours] != contribution or any(len(part) != _NONCE for part in found):
            raise Refused("The parts of the common secret are not what they should be.")
        self._vault.keep(COMMON, hashlib.sha256(about + b"".join(found)).digest())

    def _send_shares(self, secret: bytes) -> None:
        """Send our shares of the keys that the first party begins."""
        kinds: dict[str, Callable[[bytes | None], bytes]] = {
            "relin-first": partial(self._engine.share_relin_first, secret),
            **{
                f"automorphism-{index}": partial(self._engine.share_automorphism, secret, index)
                for index in self._agreement.scheme.automorphisms
            },
        }
        for kind, make in kinds.items():
            lead = None if self._leads else self._get(self._first, kind).parts[0]
            self._send(kind, partial(_alone, make, lead))

    def _shares(self, kind: str) -> list[bytes]:
        return [one.parts[0] for one in self._all(kind)]

    def _join(self, name: str, kind: str, shares: list[bytes]) -> str:
        path = self._keys / name
        if path.exists():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return keep_key(self._keys, name, self._engine.join(kind, shares))

    def _send(self, kind: str, make: Callable[[], tuple[bytes, ...]]) -> None:
        kept, sent = self._outbox / kind, self._place(self._identity.name, kind)
        if not kept.exists():
            write_whole(kept, sign(self._identity, kind, self._agreement.digest, parts=make()))
        if not sent.exists():
            write_whole(sent, kept.read_bytes())

    def _get(self, sender: str, kind: str) -> Message:
        path = self._place(sender, kind)
        if not path.exists():
            raise _Waiting(f"{kind} of {sender}")
        known = {sender: self._agreement.by_name[sender]}
        data = path.read_bytes()
        message = read_signed(data, kind, self._agreement.digest, known)
        if kind in _ONCE:
            seen = self._outbox / f"{kind}-of-{sender}"
            if not seen.exists():
                write_whole(seen, data)
            if seen.read_bytes() != data:
                raise Refused(f"{sender} sent a second {kind}. Begin anew with a new agreement.")
        return message

    def _all(self, kind: str) -> list[Message]:
        return [self._get(name, kind) for name in self._names]

    def _place(self, sender: str, kind: str) -> Path:
        return self._exchange / f"{sender}.{kind}.message"


def _alone(make: Callable[[bytes | None], bytes], lead: bytes | None) -> tuple[bytes, ...]:
    return (make(lead),)


def _commitment(public: bytes, nonce: bytes) -> bytes:
    return hashlib.sha256(nonce + public).digest()
