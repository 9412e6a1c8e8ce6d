"""What becomes of an import's rows once their pictures are decoded, for real or as a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, Sum
from django.utils.translation import gettext as _

from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, ImportRow, RowState
from webapp.registry.models import Work
from webapp.registry.services import Outcome, Registration, WorkDraft, works_alike, works_register
from webapp.registry.storage import quota_error, storage_used


@dataclass(frozen=True)
class Refusal:
    """Why a row's picture is not registered."""

    code: str
    message: str


def rows_judge(
    catalogue_import: CatalogueImport,
    catalogue: Catalogue,
    chunk: list[ImportRow],
    prepared: Sequence[WorkDraft | Work | Refusal],
) -> None:
    """Write into each row what becomes of it, and register what is new unless this is a dry run.

    The caller holds a transaction in which the catalogue is locked, and saves the rows.

    Args:
        prepared: for each row a draft, the work that its file is already, or why it cannot be registered.
    """
    drafts: list[tuple[ImportRow, WorkDraft]] = []
    results: list[tuple[ImportRow, Registration]] = []
    for row, result in zip(chunk, prepared, strict=True):
        if isinstance(result, WorkDraft):
            row.pixel_sha256 = result.pixel_sha256
            drafts.append((row, result))
        elif isinstance(result, Work):
            results.append((row, Registration(Outcome.SAME_BYTES, result)))
        else:
            row.state, row.code, row.message = RowState.FAILED, result.code, result.message[:500]
    simple = {row.index for row, draft in drafts if not any(print_.usable for print_ in draft.fingerprints)}
    if catalogue_import.dry_run:
        results += _judge_dry(catalogue_import, drafts, simple)
    else:
        registrations = works_register(
            organisation=catalogue.organisation,
            drafts=[draft for _row, draft in drafts],
            registered_by=catalogue_import.started_by,
            visibility=catalogue.visibility,
        )
        results += [(row, registration) for (row, _draft), registration in zip(drafts, registrations, strict=True)]
    CatalogueItem.objects.bulk_create(
        CatalogueItem(catalogue=catalogue, work=registration.work, filename=row.filename)
        for row, registration in results
        if registration.outcome == Outcome.REGISTERED
    )
    _mark(catalogue_import, results, simple)


def _mark(catalogue_import: CatalogueImport, results: list[tuple[ImportRow, Registration]], simple: set[int]) -> None:
    first = {
        work_id: member or filename
        for work_id, member, filename in catalogue_import.rows.filter(
            state=RowState.REGISTERED, work__in=[registration.work for _row, registration in results]
        ).values_list("work_id", "member", "filename")
    }
    for row, registration in results:
        work = row.work = registration.work
        if registration.refusal:
            row.state, row.code = RowState.FAILED, str(registration.refusal.code)
            row.message = str(registration.refusal.message)[:500]
        elif work is not None and registration.outcome == Outcome.REGISTERED:
            first[work.pk] = row.path
            row.state, row.message = RowState.REGISTERED, _too_simple() if row.index in simple else ""
        elif work is not None and work.pk in first:
            _mark_twin(row, registration.outcome, first[work.pk])
        elif work is not None:
            row.state, row.code = RowState.DUPLICATE, str(registration.outcome)
            message = (
                _("The same file is registered already, as “%(title)s”.")
                if registration.outcome == Outcome.SAME_BYTES
                else _("The same pixels are registered already, as “%(title)s”.")
            )
            row.message = message % {"title": work.title}


def _judge_dry(
    catalogue_import: CatalogueImport, drafts: list[tuple[ImportRow, WorkDraft]], simple: set[int]
) -> list[tuple[ImportRow, Registration]]:
    """Judge drafts by the questions of :func:`works_register`, in its order, counting what is valid as registered.

    Returns what would be a duplicate or have no room; rows that are valid, or twins of valid ones, are marked here.
    """
    organisation = catalogue_import.catalogue.organisation
    digests = {draft.sha256 for _row, draft in drafts}
    pixel_digests = {draft.pixel_sha256 for _row, draft in drafts}
    by_bytes, by_pixels = works_alike(organisation=organisation, sha256=digests, pixel_sha256=pixel_digests)
    valid = catalogue_import.rows.filter(state=RowState.VALID)
    earlier: dict[str, str] = {}
    for row in valid.filter(Q(sha256__in=digests) | Q(pixel_sha256__in=pixel_digests)):
        earlier[row.sha256] = earlier[row.pixel_sha256] = row.path
    used = storage_used(organisation) + (valid.aggregate(total=Sum("byte_size"))["total"] or 0)
    results = []
    for row, draft in drafts:
        size = len(draft.data)
        if twin := by_bytes.get(draft.sha256):
            results.append((row, Registration(Outcome.SAME_BYTES, twin)))
        elif name := earlier.get(draft.sha256):
            _mark_twin(row, Outcome.SAME_BYTES, name)
        elif twin := by_pixels.get(draft.pixel_sha256):
            results.append((row, Registration(Outcome.SAME_PIXELS, twin)))
        elif name := earlier.get(draft.pixel_sha256):
            _mark_twin(row, Outcome.SAME_PIXELS, name)
        elif used + size > organisation.storage_quota_bytes:
            refusal = quota_error(organisation=organisation, used=used, needed=size)
            results.append((row, Registration(Outcome.NO_ROOM, None, refusal)))
        else:
            used += size
            earlier[draft.sha256] = earlier[draft.pixel_sha256] = row.path
            row.state, row.message = RowState.VALID, _too_simple() if row.index in simple else ""
    return results


def _mark_twin(row: ImportRow, outcome: Outcome, name: str) -> None:
    row.state, row.code = RowState.DUPLICATE, str(outcome)
    message = (
        _("The same file as “%(name)s” in this upload.")
        if outcome == Outcome.SAME_BYTES
        else _("The same pixels as “%(name)s” in this upload.")
    )
    row.message = (message % {"name": name})[:500]


def _too_simple() -> str:
    return _("Too simple for look-alike search: only exact copies of it will be found.")
