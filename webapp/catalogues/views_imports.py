"""Pages of imports: the upload, its progress, and what became of each picture."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.catalogues import imports, selectors
from webapp.catalogues.forms import UploadForm
from webapp.catalogues.models import RowState
from webapp.catalogues.table import COLUMNS, FILENAME, csv_text
from webapp.catalogues.uploads import uploads_sort
from webapp.catalogues.views import just_deleted, person, require_writer
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_snapshot

ROWS_A_PAGE = 100


@login_required
@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Take pictures, or an archive of them, into a catalogue. A script that sends them gets JSON."""
    catalogue, may_write = selectors.catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    form = UploadForm(request.POST or None, request.FILES or None)
    html = request.accepts("text/html")
    refusal: ProductError | None = None
    if request.method == "POST" and not form.is_valid() and not html:
        fields = {name: [str(sentence) for sentence in sentences] for name, sentences in form.errors.items()}
        raise ProductError(ErrorCode.INVALID, _("Say what to do with the files."), fields=fields)
    if request.method == "POST" and form.is_valid():
        try:
            sent = uploads_sort(form.cleaned_data["uploads"])
            made = imports.import_create(
                catalogue=catalogue,
                archive=sent.archive,
                files=sent.pictures,
                table=sent.table,
                dry_run=form.cleaned_data["mode"] == "dry",
                started_by=person(request),
            )
        except ProductError as error:
            if not html:
                raise
            refusal = error
        else:
            url = reverse("catalogues:import", args=[made.pk])
            if html:
                return redirect(url)
            return JsonResponse({"url": url}, status=201)
    context = {
        "catalogue": catalogue,
        "form": form,
        "refusal": refusal,
        "max_bytes": settings.IMPORT_MAX_BYTES,
        "max_file_bytes": settings.UPLOAD_MAX_BYTES,
        "max_files": settings.IMPORT_MAX_FILES + 1,
        "max_pictures": settings.IMPORT_MAX_FILES,
        "max_rows": settings.IMPORT_MAX_ROWS,
        "columns": (FILENAME, *COLUMNS),
    }
    status = refusal.status if refusal else 400 if form.errors else 200
    return render(request, "catalogues/upload.html", context, status=status)


@login_required
@require_GET
def import_page(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Show how far an import is, and what became of each picture."""
    found, may_write = selectors.import_get(user=request.user, import_id=import_id)
    counts = selectors.import_counts(found)
    state = request.GET.get("state", "")
    state = state if state in selectors.SHOWN_STATES else ""
    page = Paginator(selectors.rows_of(found, state), ROWS_A_PAGE).get_page(request.GET.get("page"))
    final = found.job.is_final
    kept = found.upload_deleted_at is None
    context = {
        "import": found,
        "catalogue": found.catalogue,
        "job": found.job,
        "snapshot": job_snapshot(found.job),
        "may_write": may_write,
        "may_cancel": may_write,
        "counts": [(key, selectors.SHOWN_STATES[key], count) for key, count in counts.items()],
        "total": sum(counts.values()),
        "state": state,
        "page": page,
        "results": [(row, *selectors.row_result(row, found.job.state)) for row in page],
        "valid": counts.get(RowState.VALID, 0),
        "can_run": may_write and final and found.dry_run and kept and bool(counts),
        "can_discard": may_write and final and kept,
        "can_resume": may_write and selectors.import_can_resume(found),
        "can_delete": may_write and final and selectors.import_works(found).exists(),
        "just_deleted": just_deleted(request),
    }
    return render(request, "catalogues/import.html", context)


@login_required
@require_GET
def import_results(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Send what became of each picture as CSV."""
    found, _may_write = selectors.import_get(user=request.user, import_id=import_id)
    rows = selectors.result_rows(found, lambda work_id: settings.SITE_URL + reverse("registry:work", args=[work_id]))
    response = HttpResponse(csv_text(selectors.RESULT_COLUMNS, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="import-{found.pk}.csv"'
    return response


@login_required
@require_POST
def import_run(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Register what a dry run found to be good."""
    return _act(request, import_id, imports.import_run_for_real, _("The pictures are being registered."))


@login_required
@require_POST
def import_resume(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Do what was left when an import ended early."""
    return _act(request, import_id, imports.import_resume, _("The import goes on."))


@login_required
@require_POST
def import_discard(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Delete what was sent for an import that will not be resumed."""
    return _act(request, import_id, imports.import_discard, _("The uploaded files are deleted."))


@login_required
@require_POST
def import_delete(request: HttpRequest, import_id: uuid.UUID) -> HttpResponse:
    """Delete the pictures that an import registered."""
    found, may_write = selectors.import_get(user=request.user, import_id=import_id)
    require_writer(may_write)
    page = reverse("catalogues:import", args=[found.pk])
    try:
        deletion = imports.import_delete(catalogue_import=found, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
        return redirect(page)
    return redirect(f"{page}?deleted={deletion.pk}")


def _act(request: HttpRequest, import_id: uuid.UUID, act: Callable[..., object], words: Any) -> HttpResponse:
    found, may_write = selectors.import_get(user=request.user, import_id=import_id)
    require_writer(may_write)
    try:
        act(catalogue_import=found, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, words)
    return redirect("catalogues:import", found.pk)
