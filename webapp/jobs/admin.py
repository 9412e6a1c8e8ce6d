"""Jobs in the administration: what runs, what failed, and a way to stop it."""

from __future__ import annotations

from typing import cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.accounts.models import User
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.services import job_cancel


@admin.register(Job)
class JobAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Rows as the worker writes them."""

    list_display = ("id", "kind", "state", "percent", "owner", "organisation", "failures", "created_at", "finished_at")
    list_select_related = ("owner", "organisation")
    list_filter = ("state", "kind")
    search_fields = ("id", "owner__email", "error_code")
    date_hierarchy = "created_at"
    exclude = ("visitor_digest",)
    show_full_result_count = False
    actions = ("cancel",)

    @admin.display(description=_("done"))
    def percent(self, job: Job) -> str:
        """How far it is."""
        return f"{job.fraction:.0%}"

    @admin.action(description=_("Cancel the chosen jobs"), permissions=("view",))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Ask the jobs to stop; those that are over are passed over."""
        if not cast(User, request.user).has_perm("jobs.change_job"):
            self.message_user(request, _("You may not cancel jobs."), level="error")
            return
        jobs = list(queryset.exclude(state__in=FINAL_STATES))
        for job in jobs:
            job_cancel(job=job)
        self.message_user(request, _("%(n)d jobs asked to stop.") % {"n": len(jobs)})
