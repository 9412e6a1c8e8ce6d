"""Private catalogues in the administration: what there is and what it costs; nothing in them can be read there."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.private.models import PrivateCatalogue, PrivateQuestion


@admin.register(PrivateCatalogue)
class PrivateCatalogueAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Private catalogues."""

    list_display = ("catalogue", "state", "held_by", "algorithm", "tau", "entries", "bytes")
    list_select_related = ("catalogue",)
    list_filter = ("state", "held_by")
    exclude = ("sealed_holder", "manifest", "offered", "agreement_json")


@admin.register(PrivateQuestion)
class PrivateQuestionAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Who asked what, when."""

    list_display = ("private", "credential", "policy", "state", "matches", "seconds", "created_at")
    list_select_related = ("private",)
    list_filter = ("state", "policy")
