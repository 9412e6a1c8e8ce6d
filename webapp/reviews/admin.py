"""Matches and decisions in the administration; the queue itself is a page of its own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from webapp.accounts.admin import ReadOnly
from webapp.checks.models import Check
from webapp.jobs.models import Job, JobState
from webapp.registry.selectors import registry_size
from webapp.reviews.models import Decision, Match, MatchState


class DecisionInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """What was decided, undone decisions too."""

    model = Decision
    fields = ("created_at", "state", "reviewer", "note", "undone_at")
    readonly_fields = fields
    extra = 0


@admin.register(Match)
class MatchAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """All pairs, decided or not."""

    list_display = ("work", "state", "latest_check", "times_seen", "created_at", "decided_at", "review")
    list_select_related = ("work", "latest_check")
    list_filter = ("state",)
    search_fields = ("work__title", "latest_check__filename")
    date_hierarchy = "created_at"
    inlines = (DecisionInline,)

    @admin.display(description=_("review"))
    def review(self, match: Match) -> SafeString:
        """A link to the pair in the queue."""
        return format_html('<a href="{}?state=all">{}</a>', reverse("reviews:match", args=[match.pk]), _("Look at it"))


@admin.register(Decision)
class DecisionAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Every decision of every reviewer."""

    list_display = ("created_at", "match", "state", "reviewer", "note", "undone_at")
    list_select_related = ("match__work", "reviewer")
    list_filter = ("state", "reviewer")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page of the administration counts."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    context["counts"] = [
        (_("Matches to review"), Match.objects.filter(state=MatchState.OPEN, work__deleted_at=None).count()),
        (_("Jobs at work"), Job.objects.filter(state__in=(JobState.QUEUED, JobState.RUNNING)).count()),
        (_("Jobs failed today"), Job.objects.filter(state=JobState.FAILED, finished_at__gte=today).count()),
        (_("Checks today"), Check.objects.filter(created_at__gte=today).count()),
        (_("Registered works"), registry_size()),
    ]
    return context
