"""Joint keys in rounds of messages: nobody ever has the whole secret.

The secret is a sum of sub-keys (see ``quorum``), each of which one party makes. The parties share a folder, the
exchange, by whatever means; what lies there is signed, and secret parts are sealed. Each calls :func:`take_part` until
it is done. The rounds:

1. the first party's *seed* fixes the random polynomial that all public shares have in common;
2. each commits to the public shares of its sub-keys, then
3. reveals them: without the commitment, the last could choose a share that cancels the others' and hold the whole
   secret. With them go, sealed for each, the parts of a secret that the keyholders have in common, and the sub-keys
   themselves for whoever else holds them, who proves that they belong to what was revealed;
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
from provenance.private_lookup.quorum import made_by

COMMON, _MADE = "common", "nonces"
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
        self._holders = agreement.sub_keys
        self._ours = made_by(self._holders, identity.name)
        for place in (self._keys, self._outbox):
            place.mkdir(mode=0o700, exist_ok=True)

    def run(self) -> None:
        if self._leads:
            self._send("seed", lambda: (self._engine.share_keys(None)[1],))
        publics, nonces, contribution = self._shares_of_ours(self._get(self._first, "seed"))
        self._send("commit", lambda: tuple(map(_commitment, publics, nonces)))
        self._all("commit")
        self._send("reveal", lambda: (*publics, *nonces, *self._sealed(contribution), *self._handed_out()))
        if self._leads:
            self._send_shares()
        reveals = self._all("reveal")
        all_publics = self._check_commitments(reveals)
        self._keep_common(reveals, contribution)
        self._keep_sub_keys(reveals, all_publics)
        sums = {"public": self._join("public", "public", all_publics)}
        self._send_shares()
        joined = self._engine.join("relin_first", self._shares("relin-first"))
        second = partial(self._engine.share_relin, joined=joined)
        self._send("relin-second", lambda: tuple(map(second, self._secrets())))
        for index in self._agreement.scheme.automorphisms:
            name = f"automorphism-{index}"
            sums[name] = self._join(name, "automorphism", self._shares(name))
        sums["relin"] = self._join("relin", "relin", self._shares("relin-second"))
        write_keys(self._keys, sums)
        self._send("done", lambda: (keys_digest(self._keys).encode(),))
        for one in self._all("done"):
            if one.parts[0].decode(errors="replace") != keys_digest(self._keys):
                raise Refused(f"{one.sender} has other joint keys than we have. Begin anew with a new agreement.")

    def _shares_of_ours(self, seed: Message) -> tuple[list[bytes], list[bytes], bytes]:
        """Return the public shares of our sub-keys, made once, a nonce for each, and our part of the common secret."""
        if _MADE not in self._vault:
            for number in self._ours:
                secret, public = self._engine.share_keys(seed.parts[0])
                self._vault.keep(f"public-{number}", public)
                self._vault.keep(share_name(number), secret)
            # Last: where it is, the others are.
            self._vault.keep(_MADE, os.urandom((len(self._ours) + 1) * _NONCE))
        made = self._vault[_MADE]
        *nonces, contribution = [made[start : start + _NONCE] for start in range(0, len(made), _NONCE)]
        return [self._vault[f"public-{number}"] for number in self._ours], nonces, contribution

    def _secrets(self) -> list[bytes]:
        return [self._vault[share_name(number)] for number in self._ours]

    def _sealed(self, contribution: bytes) -> list[bytes]:
        about = self._agreement.digest.encode()
        return [seal(party.sealing, contribution, about) for party in self._agreement.parties]

    def _handed_out(self) -> list[bytes]:
        """Return our sub-keys, each sealed for whoever else holds it."""
        return [
            seal(self._agreement.by_name[name].sealing, self._vault[share_name(number)], self._about(number))
            for number in self._ours
            for name in self._holders[number][1:]
        ]

    def _about(self, number: int) -> bytes:
        return f"{self._agreement.digest} {number}".encode()

    def _check_commitments(self, reveals: list[Message]) -> list[bytes]:
        """Return the public shares of all sub-keys."""
        publics: dict[int, bytes] = {}
        for reveal, commit in zip(reveals, self._all("commit"), strict=True):
            made = made_by(self._holders, reveal.sender)
            count, handed_out = len(made), sum(len(self._holders[number]) - 1 for number in made)
            shown, nonces = reveal.parts[:count], reveal.parts[count : 2 * count]
            sizes = len(self._names) + handed_out
            if commit.parts != tuple(map(_commitment, shown, nonces)) or len(reveal.parts) != 2 * count + sizes:
                raise Refused(f"{reveal.sender} revealed another share than it had committed to.")
            publics.update(zip(made, shown, strict=True))
        return [publics[number] for number in sorted(publics)]

    def _keep_common(self, reveals: list[Message], contribution: bytes) -> None:
        ours = self._names.index(self._identity.name)
        about = self._agreement.digest.encode()
        found = []
        for reveal in reveals:
            boxes = reveal.parts[2 * len(made_by(self._holders, reveal.sender)) :]
            found.append(unseal(self._identity.sealing, boxes[ours], about))
        if found[ours] != contribution or any(len(part) != _NONCE for part in found):
            raise Refused("The parts of the common secret are not what they should be.")
        self._vault.keep(COMMON, hashlib.sha256(about + b"".join(found)).digest())

    def _keep_sub_keys(self, reveals: list[Message], publics: list[bytes]) -> None:
        """Keep the sub-keys that others made and we hold too."""
        for reveal in reveals:
            made = made_by(self._holders, reveal.sender)
            boxes = iter(reveal.parts[2 * len(made) + len(self._names) :])
            for number in made:
                for name, box in zip(self._holders[number][1:], boxes, strict=False):
                    if name == self._identity.name and share_name(number) not in self._vault:
                        secret = unseal(self._identity.sealing, box, self._about(number))
                        if not self._engine.is_pair(secret, publics[number]):
                            raise Refused(f"{reveal.sender} handed out another sub-key than it revealed.")
                        self._vault.keep(share_name(number), secret)

    def _send_shares(self) -> None:
        """Send our shares of the keys, under each of our sub-keys; the very first one is what the others build on."""
        kinds: dict[str, Callable[[bytes, bytes | None], bytes]] = {
            "relin-first": self._engine.share_relin_first,
            **{
                f"automorphism-{index}": partial(_automorphism, self._engine, index)
                for index in self._agreement.scheme.automorphisms
            },
        }
        for kind, make in kinds.items():
            lead = None if self._leads else self._get(self._first, kind).parts[0]
            self._send(kind, partial(_under_each, make, self._secrets(), lead))

    def _shares(self, kind: str) -> list[bytes]:
        """Return the shares under all sub-keys, in their order."""
        found: dict[int, bytes] = {}
        for message in self._all(kind):
            made = made_by(self._holders, message.sender)
            if len(message.parts) != len(made):
                raise Refused(f"{message.sender} sent too few shares of a key, or too many.")
            found.update(zip(made, message.parts, strict=True))
        return [found[number] for number in sorted(found)]

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


def share_name(number: int) -> str:
    """Return the name of a sub-key in a keyholder's vault."""
    return f"share-{number}"


def _automorphism(engine: Engine, index: int, secret: bytes, lead: bytes | None) -> bytes:
    return engine.share_automorphism(secret, index, lead)


def _under_each(
    make: Callable[[bytes, bytes | None], bytes], secrets: list[bytes], lead: bytes | None
) -> tuple[bytes, ...]:
    made: list[bytes] = []
    for secret in secrets:
        made.append(make(secret, lead))
        lead = lead or made[0]
    return tuple(made)


def _commitment(public: bytes, nonce: bytes) -> bytes:
    return hashlib.sha256(nonce + public).digest()
