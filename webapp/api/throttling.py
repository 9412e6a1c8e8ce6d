"""How often a key may call, and how often an address may call without a good one."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request

from webapp.accounts.models import ApiKey
from webapp.errors import ErrorCode, ProductError
from webapp.ratelimit import Allowance, client_address, use

MINUTE = 60
HOUR = 3600


def count_request(request: Request, key: ApiKey | None) -> Allowance:
    """Count a request for its key or, without a good one, for the address that it comes from."""
    if key is not None:
        return use("api", f"key:{key.pk}", limit=settings.REQUESTS_PER_MINUTE_KEY, window=MINUTE)
    address = client_address(request._request)
    return use("api", f"address:{address}", limit=settings.REQUESTS_PER_MINUTE_NO_KEY, window=MINUTE)


def count_check(key: ApiKey) -> Allowance:
    """Count a picture sent to be checked."""
    return use("api-check", f"key:{key.pk}", limit=settings.CHECKS_PER_HOUR_KEY, window=HOUR)


def refusal(allowance: Allowance) -> ProductError:
    """Return the refusal of a use that is past its limit (429)."""
    return ProductError(
        ErrorCode.RATE_LIMITED,
        _("That is more than %(limit)d in this time. Try again in %(seconds)d seconds.")
        % {"limit": allowance.limit, "seconds": allowance.reset},
        status=429,
        retry_after=allowance.reset,
    )


def headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers that tell a caller how much is left (draft-ietf-httpapi-ratelimit-headers-06)."""
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
    }
