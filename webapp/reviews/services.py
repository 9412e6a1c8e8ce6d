"""What reviewers do with matches, and how matches come to them."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.checks.models import Check
from webapp.errors import ErrorCode, ProductError
from webapp.registry.models import Work
from webapp.reviews.models import DECISIONS, Decision, Match, MatchState

LOCK_MINUTES = 5


def match_record(*, check: Check, work: Work) -> Match:
    """Return the match of this pair of pictures, made if it is new. The same check counts once.

    Call it with the check's row locked, so that a check that runs twice at once is counted once too.
    """
    match, made = Match.objects.get_or_create(
        pixel_sha256=check.pixel_sha256, work=work, defaults={"latest_check": check}
    )
    if not made and match.latest_check_id != check.pk:
        Match.objects.filter(pk=match.pk).update(latest_check=check, times_seen=F("times_seen") + 1)
        match.refresh_from_db()
    return match


@transaction.atomic
def match_open(*, match: Match, reviewer: User) -> Match:
    """Mark a match as being looked at, unless somebody else does; return it as it is then.

    Whether somebody else has it is for the caller to read off ``opened_by``.
    """
    match = Match.objects.select_for_update(of=("self",)).get(pk=match.pk)
    if not is_locked_for(match, reviewer):
        match.opened_by, match.opened_at = reviewer, timezone.now()
        match.save(update_fields=("opened_by", "opened_at"))
    return match


def is_locked_for(match: Match, reviewer: User) -> bool:
    """Return whether another reviewer has it open now."""
    return (
        match.opened_by_id is not None
        and match.opened_by_id != reviewer.pk
        and match.opened_at is not None
        and match.opened_at > timezone.now() - timedelta(minutes=LOCK_MINUTES)
    )


@transaction.atomic
def match_decide(*, match: Match, state: str, seen_state: str, reviewer: User, note: str = "") -> Decision:
    """Decide on a match.

    Args:
        seen_state: the state that the reviewer saw, so that a decision made meanwhile is not passed over.

    Raises:
        ProductError: no such decision; somebody else has it open; or it was decided in the meantime.
    """
    if state not in DECISIONS:
        raise ProductError(ErrorCode.INVALID, _("Choose confirm, reject or unsure."))
    match = Match.objects.select_for_update(of=("self",)).get(pk=match.pk)
    if match.state != seen_state:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("Somebody has decided this in the meantime: %(state)s. Look again before you change it.")
            % {"state": MatchState(match.state).label},
            status=409,
        )
    if is_locked_for(match, reviewer):
        raise ProductError(
            ErrorCode.CONFLICT,
            _("%(person)s is looking at this match now. Take the next one, or come back in some minutes.")
            % {"person": match.opened_by},
            status=409,
        )
    decision = Decision(match=match, reviewer=reviewer, state=state, previous_state=match.state, note=note.strip())
    decision.full_clean()
    decision.save()
    match.state, match.decided_at = state, decision.created_at
    match.opened_by = match.opened_at = None
    match.save(update_fields=("state", "decided_at", "opened_by", "opened_at"))
    audit(
        verb="match.decided",
        obj=match,
        actor=reviewer,
        organisation=match.work.organisation,
        data={"decision": decision.pk, "before": decision.previous_state, "after": state},
    )
    return decision


@transaction.atomic
def decision_undo(*, decision: Decision, reviewer: User) -> Match:
    """Take the newest decision on a match back: the one before stands again.

    Raises:
        ProductError: it is another's, was undone already, or is not the newest.
    """
    match = Match.objects.select_for_update(of=("self",)).get(pk=decision.match_id)
    decision = Decision.objects.select_for_update(of=("self",)).get(pk=decision.pk)
    if decision.reviewer_id != reviewer.pk and not reviewer.is_superuser:
        raise ProductError(ErrorCode.FORBIDDEN, _("Only whoever decided can take it back."), status=403)
    newest = match.decisions.filter(undone_at=None).first()
    if newest is None or newest.pk != decision.pk:
        raise ProductError(
            ErrorCode.CONFLICT, _("This decision was undone or followed by another already."), status=409
        )
    decision.undone_at = timezone.now()
    decision.save(update_fields=("undone_at",))
    before = match.decisions.filter(undone_at=None).first()
    match.state = decision.previous_state
    match.decided_at = before.created_at if before else None
    match.save(update_fields=("state", "decided_at"))
    audit(
        verb="match.decision_undone",
        obj=match,
        actor=reviewer,
        organisation=match.work.organisation,
        data={"decision": decision.pk, "before": decision.state, "after": match.state},
    )
    return match
