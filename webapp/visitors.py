"""Who somebody without an account is: a random token in their session, known to our rows by its digest."""

from __future__ import annotations

import secrets

from django.contrib.sessions.backends.base import SessionBase

from webapp.files import sha256_of

_KEY = "visitor"


def visitor_digest(session: SessionBase | None) -> str:
    """Return the digest of this session's visitor token, or an empty string where it has none yet."""
    token = session.get(_KEY) if session is not None else None
    return sha256_of(token.encode()) if token else ""


def ensure_visitor(session: SessionBase) -> str:
    """Return the visitor's digest, giving the session a token first if it has none."""
    if _KEY not in session:
        session[_KEY] = secrets.token_urlsafe(32)
    return visitor_digest(session)
