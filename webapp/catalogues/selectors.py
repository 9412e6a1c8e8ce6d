"""Reading catalogues, and who may: the only way by which a view gets a catalogue, an item, an import or a deletion."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Case, CharField, Count, F, Max, Q, QuerySet, Value, When
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webapp.accounts.models import Organisation, Role, User
from webapp.catalogues.importer import RETRYABLE
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, ImportRow, RowState
from webapp.errors import ErrorCode
from webapp.jobs.models import FINAL_STATES, JobState
from webapp.registry.models import Deletion, Work

Viewer = User | AnonymousUser

# How a row that was left when its import ended is shown; it is pending in the table, so that it can be resumed.
NOT_DONE = "not_done"
SHOWN_STATES: dict[str, Any] = {
    **{state.value: state.label for state in RowState},
    NOT_DONE: gettext_lazy("Not done"),
}
SORTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "newest": (gettext_lazy("Newest first"), ("-created_at", "filename", "pk")),
    "oldest": (gettext_lazy("Oldest first"), ("created_at", "filename", "pk")),
    "title": (gettext_lazy("Title"), ("work__title", "pk")),
    "filename": (gettext_lazy("File name"), ("filename", "pk")),
}


# --- Who may ---


def catalogues_of(user: Viewer) -> QuerySet[Catalogue]:
    """Return the live catalogues that this person may see, each with ``works`` and ``latest`` (two joined counts)."""
    if not user.is_authenticated:
        return Catalogue.objects.none()
    live = Q(items__work__deleted_at=None)
    return (
        Catalogue.objects.live()
        .filter(organisation__memberships__user=user)
        .select_related("organisation")
        .annotate(works=Count("items", filter=live, distinct=True), latest=Max("items__created_at", filter=live))
        .order_by("organisation__name", "name")
    )


def catalogue_get(*, user: Viewer, catalogue_id: uuid.UUID | str) -> tuple[Catalogue, bool]:
    """Return a live catalogue and whether this person may change it.

    Raises:
        Http404: there is none, or it is not of an organisation of theirs.
    """
    catalogue = Catalogue.objects.live().select_related("organisation").filter(pk=catalogue_id).first()
    if catalogue is None:
        raise Http404
    return catalogue, _may_write(user, catalogue.organisation_id)


def item_get(*, user: Viewer, item_id: uuid.UUID | str) -> tuple[CatalogueItem, bool]:
    """Return a live item with its work and catalogue, and whether this person may change it.

    Raises:
        Http404: there is none, or it is not of an organisation of theirs.
    """
    item = (
        CatalogueItem.objects.select_related("work", "catalogue__organisation")
        .filter(pk=item_id, work__deleted_at=None, catalogue__deleted_at=None)
        .first()
    )
    if item is None:
        raise Http404
    return item, _may_write(user, item.catalogue.organisation_id)


def import_get(*, user: Viewer, import_id: uuid.UUID | str) -> tuple[CatalogueImport, bool]:
    """Return an import with its job and catalogue, and whether this person may change it.

    Raises:
        Http404: there is none, its catalogue is deleted, or it is not of an organisation of theirs.
    """
    found = (
        CatalogueImport.objects.select_related("catalogue__organisation", "job", "started_by")
        .filter(pk=import_id, catalogue__deleted_at=None)
        .first()
    )
    if found is None:
        raise Http404
    return found, _may_write(user, found.catalogue.organisation_id)


def deletion_get(*, user: Viewer, deletion_id: uuid.UUID | str) -> tuple[Deletion, bool]:
    """Return a deletion and whether this person may undo it.

    Raises:
        Http404: there is none, or it is not of an organisation of theirs.
    """
    deletion = Deletion.objects.select_related("organisation", "deleted_by").filter(pk=deletion_id).first()
    if deletion is None:
        raise Http404
    return deletion, _may_write(user, deletion.organisation_id)


def _may_write(user: Viewer, organisation_id: uuid.UUID) -> bool:
    if not user.is_authenticated:
        raise Http404
    role = user.memberships.filter(organisation_id=organisation_id).values_list("role", flat=True).first()
    if role is None:
        raise Http404
    return role in (Role.OWNER, Role.EDITOR)


# --- What is in a catalogue ---


@dataclass(frozen=True)
class ItemFilter:
    """What somebody looks for in a catalogue; days are inclusive."""

    query: str = ""
    deleted: bool = False
    since: date | None = None
    until: date | None = None
    import_id: uuid.UUID | None = None
    sort: str = "newest"


def items_find(catalogue: Catalogue, wanted: ItemFilter = ItemFilter()) -> QuerySet[CatalogueItem]:
    """Return a catalogue's items with their works, as wanted: live ones, or those whose deletion can be undone.

    The query is sought in title, creator, file name and external id, as a part, in any case: a scan of the catalogue.
    """
    items = CatalogueItem.objects.filter(catalogue=catalogue).select_related("work")
    items = (
        items.filter(work__deletion__in=Deletion.objects.undoable()).select_related("work__deletion")
        if wanted.deleted
        else items.filter(work__deleted_at=None)
    )
    for word in wanted.query.split():
        items = items.filter(
            Q(work__title__icontains=word)
            | Q(work__creator__icontains=word)
            | Q(filename__icontains=word)
            | Q(work__external_id__icontains=word)
        )
    if wanted.since:
        items = items.filter(created_at__date__gte=wanted.since)
    if wanted.until:
        items = items.filter(created_at__date__lte=wanted.until)
    if wanted.import_id:
        items = items.filter(
            work__import_rows__catalogue_import=wanted.import_id, work__import_rows__state=RowState.REGISTERED
        )
    return items.order_by(*SORTS[wanted.sort][1])


def imports_of(catalogue: Catalogue) -> QuerySet[CatalogueImport]:
    """Return a catalogue's imports, newest first, with their jobs and how many pictures each registered."""
    return (
        catalogue.imports.select_related("job", "started_by")
        .annotate(registered=Count("rows", filter=Q(rows__state=RowState.REGISTERED)))
        .order_by("-created_at")
    )


def deletions_undoable(organisations: QuerySet[Organisation]) -> QuerySet[Deletion]:
    """Return what was deleted in these organisations and can be undone, newest first."""
    found = Deletion.objects.undoable().filter(organisation__in=organisations)
    return found.select_related("organisation", "deleted_by")


# --- What became of an import ---


def rows_of(catalogue_import: CatalogueImport, state: str = "") -> QuerySet[ImportRow]:
    """Return an import's rows in order, with ``shown``: their state, or that they were not done when it ended.

    Args:
        state: one of :data:`SHOWN_STATES`, or all.
    """
    rows = (
        catalogue_import.rows.annotate(
            shown=Case(
                When(
                    state=RowState.PENDING,
                    catalogue_import__job__state__in=FINAL_STATES,
                    then=Value(NOT_DONE),
                ),
                default=F("state"),
                output_field=CharField(),
            )
        )
        .select_related("work")
        .order_by("index")
    )
    return rows.filter(shown=state) if state else rows


def import_counts(catalogue_import: CatalogueImport) -> dict[str, int]:
    """Return how many rows are shown in each state that occurs, in the order of :data:`SHOWN_STATES`."""
    rows = rows_of(catalogue_import).order_by()
    counts = dict(rows.values_list("shown").annotate(Count("pk")))  # type: ignore[misc]  # the plugin knows no Case
    return {state: counts[state] for state in SHOWN_STATES if state in counts}


def import_can_resume(catalogue_import: CatalogueImport) -> bool:
    """Return whether a resumed import would have anything to do, and has it still."""
    if not catalogue_import.job.is_final or catalogue_import.upload_deleted_at:
        return False
    if catalogue_import.job.state != JobState.SUCCEEDED and not catalogue_import.planned_at:
        return True
    return catalogue_import.rows.filter(Q(state=RowState.PENDING) | Q(code__in=RETRYABLE)).exists()


def import_works(catalogue_import: CatalogueImport) -> QuerySet[Work]:
    """Return the live works that an import registered."""
    return Work.objects.live().filter(
        import_rows__catalogue_import=catalogue_import, import_rows__state=RowState.REGISTERED
    )


def row_result(row: ImportRow, job_state: str) -> tuple[str, str, str]:
    """Return a row's shown state in words, its code, and its message; rows from :func:`rows_of` only."""
    shown: str = row.shown  # type: ignore[attr-defined]
    label = str(SHOWN_STATES[shown])
    if shown != NOT_DONE:
        return label, row.code, row.message
    if job_state == JobState.CANCELLED:
        return label, str(ErrorCode.CANCELLED), _("The import was cancelled before this one.")
    return label, "", _("The import ended before this one.")


RESULT_COLUMNS = ("filename", "state", "code", "message", "title", "sha256", "work_url")


def result_rows(catalogue_import: CatalogueImport, work_url: Any) -> Iterator[tuple[str, ...]]:
    """Yield an import's results for a table with :data:`RESULT_COLUMNS`.

    Args:
        work_url: from a work's id to its address.
    """
    for row in rows_of(catalogue_import).iterator(chunk_size=2000):
        label, code, message = row_result(row, catalogue_import.job.state)
        live = row.work is not None and row.work.deleted_at is None
        url = work_url(row.work_id) if live else ""
        title = row.work.title if row.work else row.metadata.get("title", "")
        yield row.path, label, code, message, title, row.sha256, url
