"""How often somebody may do something: fixed windows, counted in the cache."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext as _

from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of


@dataclass(frozen=True)
class Allowance:
    """What is left of a limit.

    Attributes:
        limit: uses in a window.
        remaining: uses left in the present window, never negative.
        reset: seconds until the window ends.
        allowed: whether this use was within the limit.
    """

    limit: int
    remaining: int
    reset: int
    allowed: bool


def use(name: str, who: str, *, limit: int, window: int, cost: int = 1) -> Allowance:
    """Count ``cost`` uses of ``name`` by ``who`` in the present window of ``window`` seconds."""
    now = time.time()
    number = int(now // window)
    key = f"rate:{name}:{sha256_of(who.encode())[:32]}:{number}"
    cache.add(key, 0, timeout=window + 60)
    try:
        used = cache.incr(key, cost)
    except ValueError:  # It was evicted between the two calls.
        cache.set(key, cost, timeout=window + 60)
        used = cost
    reset = int((number + 1) * window - now) + 1
    return Allowance(limit=limit, remaining=max(0, limit - used), reset=reset, allowed=used <= limit)


def require(name: str, who: str, *, limit: int, window: int, cost: int = 1) -> Allowance:
    """Like :func:`use`.

    Raises:
        ProductError: the limit is passed (429, with ``retry_after``).
    """
    allowance = use(name, who, limit=limit, window=window, cost=cost)
    if not allowance.allowed:
        raise ProductError(
            ErrorCode.RATE_LIMITED,
            _("That is more than %(limit)d in this time. Try again in %(seconds)d seconds.")
            % {"limit": limit, "seconds": allowance.reset},
            status=429,
            retry_after=allowance.reset,
        )
    return allowance


def client_address(request: HttpRequest) -> str:
    """Return the address of whoever asks, believing only the proxies that ``TRUSTED_PROXIES`` counts."""
    hops = settings.TRUSTED_PROXIES
    header = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
    forwarded = [part.strip() for part in header.split(",") if part.strip()]
    if hops and len(forwarded) >= hops:
        return forwarded[-hops]
    return str(request.META.get("REMOTE_ADDR", ""))
