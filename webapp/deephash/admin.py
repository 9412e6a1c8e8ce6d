"""Deep hashes in the administration."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.deephash.models import CatalogueHash, TrainedModel


@admin.register(TrainedModel)
class TrainedModelAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Models that learn or have learnt from a catalogue."""

    list_display = ("algorithm", "catalogue", "pictures", "created_at", "trained_at")
    list_select_related = ("catalogue",)
    list_filter = ("kind", "bits")


@admin.register(CatalogueHash)
class CatalogueHashAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Which catalogue uses which hash."""

    list_display = ("catalogue", "algorithm", "chosen_at")
    list_select_related = ("catalogue",)
