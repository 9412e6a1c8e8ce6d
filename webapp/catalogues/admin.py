"""Catalogues and imports in the administration."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, ImportRow


@admin.register(Catalogue)
class CatalogueAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Catalogues; their members change them on their own pages."""

    list_display = ("name", "organisation", "pictures", "visibility", "created_at", "deleted_at")
    list_select_related = ("organisation",)
    list_filter = ("visibility", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "organisation__name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Catalogue]:
        """Count live pictures in the one query."""
        live = Count("items", filter=Q(items__work__deleted_at=None))
        return cast("QuerySet[Catalogue]", super().get_queryset(request).annotate(pictures=live))

    @admin.display(description=_("pictures"), ordering="pictures")
    def pictures(self, catalogue: Any) -> int:
        """How many works it has."""
        return int(catalogue.pictures)


@admin.register(CatalogueItem)
class CatalogueItemAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Works by their place in a catalogue."""

    list_display = ("filename", "work", "catalogue", "created_at")
    list_select_related = ("work", "catalogue")
    search_fields = ("filename", "work__title", "catalogue__name")
    show_full_result_count = False


@admin.register(CatalogueImport)
class CatalogueImportAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Uploads with their jobs."""

    list_display = ("created_at", "catalogue", "source", "dry_run", "started_by", "state")
    list_select_related = ("catalogue", "started_by", "job")
    list_filter = ("source", "dry_run", "job__state")
    search_fields = ("catalogue__name", "upload_name", "started_by__email")
    exclude = ("upload_key", "csv_key")

    @admin.display(description=_("state"), ordering="job__state")
    def state(self, found: CatalogueImport) -> str:
        """Where its job stands."""
        return found.job.get_state_display()


@admin.register(ImportRow)
class ImportRowAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """What became of each picture of an upload."""

    list_display = ("catalogue_import", "index", "filename", "state", "code")
    list_select_related = ("catalogue_import",)
    list_filter = ("state", "code")
    search_fields = ("filename",)
    exclude = ("file_key",)
    show_full_result_count = False
