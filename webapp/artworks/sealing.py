"""Sealing what must not be read where it is kept: AES-256-GCM under keys derived from the site's secret.

A sealed text is version (1 byte), salt (16), nonce (12), ciphertext and tag. Each has a key of its own, derived by
HKDF-SHA-256 (RFC 5869) from ``SECRET_KEY`` with the salt, and is bound to its context, so that one cannot be put in
another's place. Those sealed under an earlier secret open while it stands in ``SECRET_KEY_FALLBACKS``.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_VERSION = b"\x01"
_SALT, _NONCE = 16, 12


class SealBroken(ValueError):
    """It was altered, belongs elsewhere, or its secret is not among the site's any more."""


def seal(data: bytes, context: str) -> bytes:
    """Return the data sealed for a context, such as ``job:<id>``."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    return _VERSION + salt + nonce + _cipher(settings.SECRET_KEY, salt).encrypt(nonce, data, context.encode())


def unseal(sealed: bytes, context: str) -> bytes:
    """Return what was sealed for that context.

    Raises:
        SealBroken: it does not open.
    """
    head = len(_VERSION) + _SALT + _NONCE
    if len(sealed) <= head or sealed[:1] != _VERSION:
        raise SealBroken("not a sealed text of this version")
    salt, nonce = sealed[1 : 1 + _SALT], sealed[1 + _SALT : head]
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return _cipher(secret, salt).decrypt(nonce, sealed[head:], context.encode())
        except InvalidTag:
            continue
    raise SealBroken("no secret of this site opens it here")


def _cipher(secret: str | bytes, salt: bytes) -> AESGCM:
    material = secret.encode() if isinstance(secret, str) else secret
    return AESGCM(HKDF(SHA256(), length=32, salt=salt, info=b"provenance/artworks/seal/v1").derive(material))
