"""How often somebody may ask, counted in rows that outlive restarts: a hundred answers near an entry tell its hash."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from provenance.private_lookup.circuit import Policy
from webapp.checks.models import Check
from webapp.errors import ErrorCode, ProductError
from webapp.private.models import PrivateCatalogue, PrivateQuestion, QuestionState

DAY = timedelta(hours=24)


@transaction.atomic
def questions_reserve(
    *,
    private: PrivateCatalogue,
    credential: str,
    policies: Sequence[Policy],
    check: Check | None = None,
) -> list[PrivateQuestion]:
    """Count questions that are about to be asked; they count whatever becomes of them once they are begun.

    Raises:
        ProductError: that would be more than this asker, or all who ask through the site, may ask in 24 hours (429).
    """
    # Two at once count one after the other.
    private = PrivateCatalogue.objects.select_for_update(of=("self",)).select_related("catalogue").get(pk=private.pk)
    if not private.is_askable or private.catalogue.deleted_at is not None:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("The private catalogue “%(name)s” cannot be asked now. Leave it out.") % {"name": private.catalogue.name},
            status=409,
        )
    everybody = counted(private)
    _require_room(everybody.filter(credential=credential), settings.PRIVATE_QUESTIONS_PER_DAY, len(policies))
    _require_room(everybody, private.agreement.daily_answers, len(policies))
    return [
        PrivateQuestion.objects.create(private=private, check_row=check, credential=credential, policy=policy)
        for policy in policies
    ]


def counted(private: PrivateCatalogue) -> QuerySet[PrivateQuestion]:
    """Return the questions of the last 24 hours that count: not those that ended before they were begun."""
    recent = PrivateQuestion.objects.filter(private=private, created_at__gt=timezone.now() - DAY)
    return recent.exclude(Q(state=QuestionState.FAILED) & Q(attempts=0))


def questions_left(private: PrivateCatalogue, credential: str) -> int:
    """Return how many more questions somebody may ask now."""
    everybody = counted(private)
    own = settings.PRIVATE_QUESTIONS_PER_DAY - everybody.filter(credential=credential).count()
    return max(0, min(own, private.agreement.daily_answers - everybody.count()))


def _require_room(questions: QuerySet[PrivateQuestion], limit: int, more: int) -> None:
    times: list[datetime] = list(questions.order_by("created_at").values_list("created_at", flat=True))
    if len(times) + more <= limit:
        return
    # Enough of the oldest must be a day old.
    free_at = times[min(len(times) - 1, len(times) + more - limit - 1)] + DAY if times else timezone.now() + DAY
    seconds = max(1, math.ceil((free_at - timezone.now()).total_seconds()))
    raise ProductError(
        ErrorCode.RATE_LIMITED,
        _("A private catalogue answers %(limit)d questions in 24 hours here. Ask again in %(hours).1f hours.")
        % {"limit": limit, "hours": seconds / 3600},
        status=429,
        retry_after=seconds,
    )
