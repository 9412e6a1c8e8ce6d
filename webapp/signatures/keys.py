"""The keys of signatures' tags: derived from the site's secrets, never stored, shown or logged.

Each is HKDF-SHA-256 (RFC 5869) of a secret. The first is that of ``SIGNING_KEY`` or, where there is none, of
``SECRET_KEY``: new tags are made with it. Those of earlier secrets only vouch for what was made with them.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from provenance.watermark.payload import Payload, authentication_tag, is_genuine
from provenance.watermark.read import FALSE_ACCEPTANCE
from webapp.signatures.models import SignatureCode


def payload_of(code: SignatureCode) -> Payload:
    """Return the 64 bits that a picture's signature carries."""
    return Payload(code.number, authentication_tag(_keys()[0], code.number, bytes.fromhex(code.subject)))


def vouches(code: SignatureCode, payload: Payload) -> bool:
    """Say whether this site gave the payload for that code, with its present key or an earlier one."""
    subject = bytes.fromhex(code.subject)
    return payload.number == code.number and any(is_genuine(key, payload, subject) for key in _keys())


def false_acceptance() -> float:
    """Return how often, at most, a check takes what a picture without a signature gives for a genuine one."""
    return FALSE_ACCEPTANCE * len(_keys())


def _keys() -> list[bytes]:
    secrets = [settings.SIGNING_KEY, *settings.SIGNING_KEY_FALLBACKS]
    secrets += [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [_derived(str(secret)) for secret in dict.fromkeys(secrets) if secret]


@lru_cache(maxsize=16)
def _derived(secret: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"provenance/signatures/tag/v1").derive(secret.encode())
