"""How much may be generated: it takes a processor for minutes."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from webapp.accounts.models import ApiKey, User
from webapp.errors import ErrorCode, ProductError
from webapp.ratelimit import use

_HOUR = 3600


def count_generation(*, user: User | None, api_key: ApiKey | None) -> None:
    """Count a picture that a person or a key has generated, again or for the first time.

    Raises:
        ProductError: it is more than one may have in an hour (429).
    """
    who = f"key:{api_key.pk}" if api_key is not None else f"user:{user.pk if user else ''}"
    allowance = use("artwork", who, limit=settings.ARTWORKS_PER_HOUR, window=_HOUR)
    if not allowance.allowed:
        raise ProductError(
            ErrorCode.RATE_LIMITED,
            _("You have had %(limit)d pictures generated in this hour, which is the most. Try again in %(n)d minutes.")
            % {"limit": allowance.limit, "n": -(-allowance.reset // 60)},
            status=429,
            retry_after=allowance.reset,
        )
