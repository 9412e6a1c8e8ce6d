"""Who says what: signed messages, boxes that one reader alone can open, and a folder that a passphrase keeps closed.

Signatures are Ed25519 (RFC 8032) over the canonical JSON (RFC 8785) of a message's head, which holds the SHA-256 of
each of its parts. Boxes are X25519 (RFC 7748) with an ephemeral key, HKDF-SHA256 and AES-256-GCM.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from provenance.private_lookup import frames
from provenance.private_lookup.errors import BadInput, WrongPassphrase

_DOMAIN = b"provenance private look-up v1\0"
# 32 MiB and about a tenth of a second for each passphrase tried.
_SCRYPT_COST = 2**15
_NONCE, _SALT, _KEY = 12, 16, 32
MOST_MESSAGE = 1 << 30


@dataclass(frozen=True)
class PublicIdentity:
    """What others know of a party, a holder of a catalogue or a client.

    Attributes:
        name: unique in an agreement.
        signing: Ed25519 public key, 64 hex digits.
        sealing: X25519 public key, 64 hex digits.
    """

    name: str
    signing: str
    sealing: str

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON holds it."""
        return {"name": self.name, "signing": self.signing, "sealing": self.sealing}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> PublicIdentity:
        """Read what :meth:`to_dict` returns.

        Raises:
            BadInput: a field is missing or has the wrong form.
        """
        try:
            identity = cls(str(found["name"]), str(found["signing"]), str(found["sealing"]))
            sizes = {len(bytes.fromhex(key)) for key in (identity.signing, identity.sealing)}
        except (KeyError, TypeError, ValueError) as problem:
            raise BadInput("This is no identity: a field is missing or has the wrong form.") from problem
        if sizes != {_KEY} or not identity.name.replace("-", "").isalnum() or len(identity.name) > 64:
            raise BadInput(
                "This is no identity: a key has another size, or its name is not of letters, digits and '-'."
            )
        return identity


@dataclass(frozen=True)
class Identity:
    """A name and its two secret keys."""

    name: str
    signing: Ed25519PrivateKey
    sealing: X25519PrivateKey

    @classmethod
    def new(cls, name: str) -> Identity:
        """Make new keys. Raises BadInput where the name is not of letters, digits and '-'."""
        made = cls(name, Ed25519PrivateKey.generate(), X25519PrivateKey.generate())
        PublicIdentity.from_dict(made.public.to_dict())
        return made

    @property
    def public(self) -> PublicIdentity:
        """What others may know."""
        signing, sealing = (key.public_key().public_bytes_raw().hex() for key in (self.signing, self.sealing))
        return PublicIdentity(self.name, signing, sealing)

    def to_bytes(self) -> bytes:
        """Return the secret keys; keep them in a :class:`Vault`."""
        keys = {"signing": self.signing.private_bytes_raw().hex(), "sealing": self.sealing.private_bytes_raw().hex()}
        return json.dumps({"name": self.name, **keys}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """Read what :meth:`to_bytes` returned."""
        found = json.loads(data)
        return cls(
            found["name"],
            Ed25519PrivateKey.from_private_bytes(bytes.fromhex(found["signing"])),
            X25519PrivateKey.from_private_bytes(bytes.fromhex(found["sealing"])),
        )


@dataclass(frozen=True)
class Message:
    """Something that somebody signed.

    Attributes:
        kind: what it is; never taken for anything else.
        about: digest of the agreement under which it is said.
        sender: name of who says it.
        fields: small values, JSON.
        parts: large ones.
        id: SHA-256 of the signed head, 64 hex digits; what the signature covers has one id.
    """

    kind: str
    about: str
    sender: str
    fields: dict[str, Any]
    parts: tuple[bytes, ...]
    id: str


def sign(
    identity: Identity, kind: str, about: str, fields: Mapping[str, Any] | None = None, parts: tuple[bytes, ...] = ()
) -> bytes:
    """Return a signed message."""
    head: dict[str, Any] = {
        "kind": kind,
        "about": about,
        "sender": identity.name,
        "fields": dict(fields or {}),
        "parts": [hashlib.sha256(part).hexdigest() for part in parts],
    }
    signature = identity.signing.sign(_DOMAIN + rfc8785.dumps(head)).hex()
    return frames.pack({**head, "signature": signature}, parts)


def read_signed(data: bytes, kind: str, about: str, senders: Mapping[str, PublicIdentity]) -> Message:
    """Read a message and prove who says it.

    Args:
        senders: who may say this, by name.

    Raises:
        BadInput: it is cut or altered, of another kind or agreement, or not from one of these senders.
    """
    try:
        read = frames.read(BytesIO(data), MOST_MESSAGE)
        if read is None:
            raise BadInput("A message is missing.")
        head, parts = read
        if head["sender"] not in senders:
            raise BadInput(
                f"This is no message of a known sender: “{head['sender']}” is not known here. It may be of another "
                "catalogue."
            )
        signature = bytes.fromhex(head.pop("signature"))
        said = rfc8785.dumps(head)
        sender, fields = senders[head["sender"]], head["fields"]
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(sender.signing)).verify(signature, _DOMAIN + said)
        if [hashlib.sha256(part).hexdigest() for part in parts] != head["parts"]:
            raise BadInput("A message's parts are not those that were signed.")
        if (head["kind"], head["about"]) != (kind, about):
            raise BadInput(f"A message is of the kind {head['kind']} or of another agreement; {kind} was expected.")
    except (frames.FrameError, KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadInput(f"A message is damaged: {problem}. Have it sent again.") from problem
    except InvalidSignature as problem:
        raise BadInput("A message's signature is wrong.") from problem
    return Message(kind, about, sender.name, fields, tuple(parts), hashlib.sha256(said).hexdigest())


def seal(reader: str, data: bytes, about: bytes) -> bytes:
    """Return a box that only the owner of an X25519 public key (hex) can open, and only as what it is about.

    Raises:
        BadInput: nobody can own that key.
    """
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(reader)))
    except ValueError as problem:
        raise BadInput("A box cannot be sealed for this key: it is no key of anybody's.") from problem
    # The key is used once, so that the nonce need not vary.
    return public + AESGCM(_box_key(shared, public, bytes.fromhex(reader))).encrypt(bytes(_NONCE), data, about)


def unseal(key: X25519PrivateKey, box: bytes, about: bytes) -> bytes:
    """Open a box.

    Raises:
        BadInput: it is for somebody else, about something else, or altered.
    """
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(box[:_KEY]))
        opener = AESGCM(_box_key(shared, box[:_KEY], key.public_key().public_bytes_raw()))
        return opener.decrypt(bytes(_NONCE), box[_KEY:], about)
    except (InvalidTag, ValueError) as problem:
        raise BadInput("A sealed box cannot be opened: it is for somebody else, or was altered.") from problem


def _box_key(shared: bytes, ephemeral: bytes, reader: bytes) -> bytes:
    return HKDF(SHA256(), _KEY, None, _DOMAIN + ephemeral + reader).derive(shared)


class Vault:
    """A folder of secrets, encrypted at rest: scrypt (RFC 7914) makes a key of the passphrase, AES-256-GCM uses it.

    Args:
        folder: made when it is not there.

    Raises:
        WrongPassphrase: there are secrets, and this passphrase is not theirs.
    """

    def __init__(self, folder: Path, passphrase: str) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        salt_file = folder / "salt"
        if not salt_file.exists():
            write_whole(salt_file, os.urandom(_SALT))
        kdf = Scrypt(salt=salt_file.read_bytes(), length=_KEY, n=_SCRYPT_COST, r=8, p=1)
        self._cipher = AESGCM(kdf.derive(passphrase.encode()))
        if "test" in self:
            self["test"]
        else:
            self.keep("test", b"")

    def __contains__(self, name: str) -> bool:
        return self._file(name).exists()

    def __getitem__(self, name: str) -> bytes:
        data = self._file(name).read_bytes()
        try:
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], name.encode())
        except (InvalidTag, ValueError) as problem:
            raise WrongPassphrase(f"{self._folder} does not open: another passphrase, or altered files.") from problem

    def keep(self, name: str, data: bytes) -> None:
        """Write a secret; what was there under this name is replaced."""
        nonce = os.urandom(_NONCE)
        write_whole(self._file(name), nonce + self._cipher.encrypt(nonce, data, name.encode()))

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        return sorted(path.name.removesuffix(".sealed") for path in self._folder.glob("*.sealed"))

    def remove(self, name: str) -> None:
        """Remove a secret."""
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.sealed"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, even where the machine fails in the middle."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
