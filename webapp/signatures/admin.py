"""Signatures in the administration."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.signatures.models import SignatureCode


@admin.register(SignatureCode)
class SignatureCodeAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Which number was given to what; revoked on the site, where that can be undone."""

    list_display = ("number", "kind", "name", "work", "organisation", "created_at", "revoked_at")
    list_select_related = ("work", "organisation")
    list_filter = ("kind", ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("=number", "name", "work__title", "organisation__name")
