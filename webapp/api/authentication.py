"""Who calls: the holder of an API key, sent as ``Authorization: Bearer <key>`` (RFC 6750, section 2.1)."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from webapp.accounts.models import ApiKey
from webapp.accounts.selectors import api_key_by_secret
from webapp.accounts.services import api_key_used
from webapp.errors import ErrorCode, ProductError


class KeyRefused(ProductError):
    """A key was sent, and it is not one to let in."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message, status=401)


class ApiKeyAuthentication(BaseAuthentication):
    """Finds the key of a request. A request without the header has none; a wrong one is refused."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Return nobody in person, and the key.

        Raises:
            ProductError: the header is malformed, or its key is unknown, expired or revoked (401). The last two are
                told apart: only who holds the whole secret gets so far.
        """
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _space, secret = header.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret or " " in secret:
            raise ProductError(
                ErrorCode.NOT_AUTHENTICATED,
                _("Send your key as “Authorization: Bearer <key>”."),
                status=401,
            )
        key = api_key_by_secret(secret)
        if key is None:
            raise KeyRefused(
                ErrorCode.NOT_AUTHENTICATED,
                _("This key is not known here. Copy it again, whole, or ask an owner of your organisation for one."),
            )
        if key.revoked_at is not None:
            raise KeyRefused(
                ErrorCode.KEY_REVOKED, _("This key was revoked. Ask an owner of your organisation for another.")
            )
        if key.expires_at <= timezone.now():
            raise KeyRefused(
                ErrorCode.KEY_EXPIRED, _("This key has expired. Ask an owner of your organisation for another.")
            )
        api_key_used(api_key=key)
        return AnonymousUser(), key


def key_of(request: Request) -> ApiKey:
    """Return the key of a request that was let in."""
    key = request.auth
    assert isinstance(key, ApiKey), "a view behind HasScope"
    return key
