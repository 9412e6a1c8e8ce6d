"""Checks in the administration, with their evidence."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, StackedInline

from webapp.accounts.admin import ReadOnly
from webapp.checks.models import Check, Evidence


class EvidenceInline(ReadOnly, StackedInline):  # type: ignore[misc]
    """What the examiners found."""

    model = Evidence
    fields = ("kind", "outcome", "summary", "work", "version", "data")
    readonly_fields = fields
    extra = 0


@admin.register(Check)
class CheckAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Checks as they were answered; an answer is never changed."""

    list_display = ("filename", "verdict", "state", "owner", "created_at", "page")
    list_select_related = ("job", "owner")
    list_filter = ("verdict", "job__state")
    search_fields = ("id", "filename", "sha256", "owner__email")
    date_hierarchy = "created_at"
    exclude = ("visitor_digest", "file_key")
    inlines = (EvidenceInline,)
    show_full_result_count = False

    @admin.display(description=_("state"), ordering="job__state")
    def state(self, check: Check) -> str:
        """Where its job stands."""
        return check.job.get_state_display()

    @admin.display(description=_("page"))
    def page(self, check: Check) -> SafeString:
        """A link to the check's own page."""
        return format_html('<a href="{}">{}</a>', reverse("checks:detail", args=[check.pk]), _("Open"))
