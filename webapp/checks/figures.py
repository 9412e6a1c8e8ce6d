"""What evidence says of a registered work, in figures and in words."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from webapp.registry.models import Work


def work_figures(work: Work) -> dict[str, str]:
    """Return what evidence says of a work as it is now: later changes of its record must not change a receipt."""
    return {
        "id": str(work.pk),
        "title": work.title,
        "owner": work.organisation.name,
        "registered_at": work.created_at.isoformat(timespec="seconds"),
        "sha256": work.sha256,
    }


def work_named(figures: dict[str, Any]) -> str:
    """Name a work by what :func:`work_figures` said of it: who registered it need not have made it."""
    return _("“%(title)s” (registered by %(owner)s)") % {"title": figures["title"], "owner": figures["owner"]}
