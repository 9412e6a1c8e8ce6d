"""The review queue: two pictures side by side, their figures, and a decision."""

from __future__ import annotations

import uuid
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.models import User
from webapp.checks.cards import cards_of
from webapp.checks.selectors import check_get
from webapp.errors import ProductError
from webapp.reviews.models import DECISIONS, Match, MatchState
from webapp.reviews.selectors import last_decision, match_get, matches_find
from webapp.reviews.services import decision_undo, is_locked_for, match_decide, match_open


@login_required
@require_GET
@never_cache
def queue(request: HttpRequest) -> HttpResponse:
    """List matches: those to review, oldest first, or others by the filters in the address."""
    filters = _filters(request)
    person = cast(User, request.user)
    page = Paginator(matches_find(user=person, **filters), 30).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "filters": filters,
        "states": MatchState.choices,
        "open_count": matches_find(user=person, state=MatchState.OPEN).count(),
        "undoable": last_decision(user=person),
        "query": urlencode(filters),
    }
    return render(request, "reviews/queue.html", context)


@login_required
@require_GET
@never_cache
def match(request: HttpRequest, match_id: uuid.UUID) -> HttpResponse:
    """Show one match, and mark it as being looked at."""
    person = cast(User, request.user)
    found = match_open(match=match_get(user=person, match_id=match_id), reviewer=person)
    seen = check_get(check_id=found.latest_check_id, user=person, visitor_digest="")
    cards = cards_of(seen, person)
    filters = _filters(request)
    context = {
        "match": found,
        "seen": seen,
        "check": seen.check,
        "card": next((card for card in cards.main if card.work == found.work and card.compare), None)
        or next((card for card in (*cards.main, *cards.aside) if card.work == found.work), None),
        "locked": is_locked_for(found, person),
        "decisions": found.decisions.select_related("reviewer"),
        "undoable": last_decision(user=person),
        "query": urlencode(filters),
        **_neighbours(found, filters, person),
    }
    return render(request, "reviews/match.html", context)


@login_required
@require_POST
def decide(request: HttpRequest, match_id: uuid.UUID) -> HttpResponse:
    """Keep a decision and go on to the next match of the queue."""
    person = cast(User, request.user)
    found = match_get(user=person, match_id=match_id)
    filters = _filters(request)
    following = _neighbours(found, filters, person)["next"]
    try:
        match_decide(
            match=found,
            state=request.POST.get("state", ""),
            seen_state=request.POST.get("seen_state", ""),
            reviewer=person,
            note=request.POST.get("note", "")[:500],
        )
    except ProductError as error:
        messages.error(request, str(error.message))
        return redirect(_address("reviews:match", filters, found.pk))
    label = MatchState(request.POST["state"]).label
    messages.success(request, _("%(title)s: %(label)s.") % {"title": found.work.title, "label": label})
    if following is not None:
        return redirect(_address("reviews:match", filters, following.pk))
    return redirect(_address("reviews:queue", filters))


@login_required
@require_POST
def undo(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Take a decision back and show its match again."""
    person = cast(User, request.user)
    matches_find(user=person)
    decision = get_object_or_404(person.decisions, pk=decision_id)
    try:
        found = decision_undo(decision=decision, reviewer=person)
    except ProductError as error:
        messages.error(request, str(error.message))
        return redirect("reviews:queue")
    messages.success(request, _("Taken back."))
    return redirect(_address("reviews:match", _filters(request), found.pk))


def _filters(request: HttpRequest) -> dict[str, str]:
    state = request.GET.get("state", MatchState.OPEN)
    return {
        "state": state if state in (*MatchState.values, "all") else MatchState.OPEN,
        "query": request.GET.get("query", "")[:100],
    }


def _address(name: str, filters: dict[str, str], *args: Any) -> str:
    return f"{reverse(name, args=args)}?{urlencode(filters)}"


def _neighbours(found: Match, filters: dict[str, str], person: User) -> dict[str, Any]:
    """Return the matches before and after this one in the queue as filtered, and how many there are."""
    ids = list(matches_find(user=person, **filters).values_list("pk", flat=True)[:2000])
    place = ids.index(found.pk) if found.pk in ids else -1
    before = ids[place - 1] if place > 0 else None
    after = ids[place + 1] if place + 1 < len(ids) else None
    return {
        "previous": Match(pk=before) if before else None,
        "next": Match(pk=after) if after and after != found.pk else None,
        "left": len(ids),
        "decisions_choices": [(state.value, state.label) for state in DECISIONS],
    }
