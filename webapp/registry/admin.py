"""Registered works in the administration."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.registry.models import Deletion, Fingerprint, Rehash, SearchAudit, Work


class FingerprintInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """A work's fingerprints."""

    model = Fingerprint
    fields = ("algorithm", "quality")
    extra = 0


@admin.register(Work)
class WorkAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Works are registered and deleted on their catalogue's page, where a deletion can be undone."""

    list_display = ("thumbnail", "title", "organisation", "creator", "visibility", "created_at", "deleted_at")
    list_display_links = ("thumbnail", "title")
    list_select_related = ("organisation",)
    list_filter = ("visibility", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("title", "creator", "external_id", "sha256", "organisation__name")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = (FingerprintInline,)

    @admin.display(description=_("picture"))
    def thumbnail(self, work: Work) -> SafeString | str:
        """A small copy, while the work is registered."""
        if work.deleted_at is not None:
            return "–"
        return format_html(
            '<img src="{}" alt="" width="96" loading="lazy">', reverse("registry:work-image", args=[work.pk, "thumb"])
        )


@admin.register(Deletion)
class DeletionAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """What was deleted and may be undone for a while."""

    list_display = ("label", "organisation", "deleted_by", "created_at")
    list_select_related = ("organisation", "deleted_by")
    search_fields = ("label", "organisation__name")


@admin.register(Rehash)
class RehashAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """How far the works are that were registered before an algorithm was there."""

    list_display = ("algorithm", "hashed", "too_simple", "unreadable", "begun_at", "finished_at")


@admin.register(SearchAudit)
class SearchAuditAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """What the nightly audits of searches found; anything missed is an error in the log too."""

    list_display = ("created_at", "algorithm", "complete", "missed", "asked", "entries", "process")
    list_filter = ("algorithm",)
    date_hierarchy = "created_at"

    @admin.display(description=_("complete"), boolean=True)
    def complete(self, audit: SearchAudit) -> bool:
        """Whether nothing was missed."""
        return not audit.missed
