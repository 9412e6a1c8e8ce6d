"""Reading matches, and who may: staff with the right to decide."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import User
from webapp.checks.models import Check
from webapp.reviews.models import Decision, Match, MatchState


def may_review(user: User | AnonymousUser) -> bool:
    """Return whether this person decides on matches."""
    return user.is_authenticated and user.is_staff and user.has_perm("reviews.decide_match")


def matches_find(*, user: User | AnonymousUser, state: str = "", query: str = "") -> QuerySet[Match]:
    """Return matches, oldest first, by state and by a part of the work's title, its owner's name or the file's name.

    Raises:
        PermissionDenied: this person is no reviewer.
    """
    if not may_review(user):
        raise PermissionDenied
    found = Match.objects.filter(work__deleted_at=None).select_related(
        "work__organisation", "latest_check", "opened_by"
    )
    if state in MatchState.values:
        found = found.filter(state=state)
    if query:
        found = found.filter(
            Q(work__title__icontains=query)
            | Q(work__organisation__name__icontains=query)
            | Q(latest_check__filename__icontains=query)
        )
    return found


def match_get(*, user: User | AnonymousUser, match_id: uuid.UUID | str) -> Match:
    """Return a match.

    Raises:
        PermissionDenied: this person is no reviewer.
        Http404: there is no such match.
    """
    match = matches_find(user=user).filter(pk=match_id).first()
    if match is None:
        raise Http404
    return match


def last_decision(*, user: User) -> Decision | None:
    """Return this reviewer's newest decision of the last day that stands, which they may want to undo."""
    today = timezone.now() - timedelta(days=1)
    return user.decisions.filter(undone_at=None, created_at__gt=today).select_related("match__work").first()


def decided_since(check: Check) -> list[Decision]:
    """Return what reviewers decided on this check's pairs after its verdict was given, newest first."""
    if not check.pixel_sha256 or check.job.finished_at is None:
        return []
    return list(
        Decision.objects.filter(
            match__pixel_sha256=check.pixel_sha256,
            match__work__evidence__check_row=check,
            undone_at=None,
            created_at__gt=check.job.finished_at,
        )
        .select_related("match__work__organisation")
        .distinct()
    )


def works_rejected(check: Check) -> set[uuid.UUID]:
    """Return the works that reviewers found not to be in this check's picture."""
    rejected = Match.objects.filter(pixel_sha256=check.pixel_sha256, state=MatchState.REJECTED)
    return set(rejected.values_list("work_id", flat=True))
