"""Artworks in the administration. Secrets are not: neither the rows that hold them nor the kept prompts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from webapp.accounts.admin import ReadOnly
from webapp.artworks.models import Artwork, Proof, Trial


class _WithState(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Rows that are looked at, with the state of their job."""

    list_select_related: Any = ("job",)
    date_hierarchy = "created_at"
    show_full_result_count = False

    @admin.display(description=_("state"), ordering="job__state")
    def state(self, row: Any) -> str:
        """Where its job stands."""
        return str(row.job.get_state_display())


@admin.register(Artwork)
class ArtworkAdmin(_WithState):
    """Artworks as their creators had them made."""

    list_display = ("title", "organisation", "owner", "mode", "preset", "state", "created_at", "page")
    list_select_related = ("job", "organisation", "owner")
    list_filter = ("mode", "preset", "visibility", "job__state")
    search_fields = ("id", "title", "recipe_digest", "organisation__name", "owner__email")
    exclude = ("prompt_sealed",)

    @admin.display(description=_("page"))
    def page(self, artwork: Artwork) -> SafeString:
        """A link to the artwork's own page."""
        return format_html('<a href="{}">{}</a>', reverse("artworks:detail", args=[artwork.pk]), _("Open"))


@admin.register(Proof)
class ProofAdmin(_WithState):
    """Attempts to make a work again."""

    list_display = ("artwork", "verdict", "prompt_fits", "key_fits", "prover", "organisation", "state", "created_at")
    list_select_related = ("job", "artwork", "prover", "organisation")
    list_filter = ("verdict", "job__state")
    search_fields = ("id", "artwork__title", "prover__email")


@admin.register(Trial)
class TrialAdmin(_WithState):
    """Trials of one altered pixel."""

    list_display = ("id", "owner", "state", "created_at")
    list_select_related = ("job", "owner")
    search_fields = ("id", "owner__email")
