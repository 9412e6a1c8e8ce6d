"""Pages of checks: sending pictures, watching, the verdict, laying pictures over each other, the history."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from webapp.checks.cards import cards_of
from webapp.checks.forms import CheckForm
from webapp.checks.models import Check
from webapp.checks.receipt import receipt_bytes
from webapp.checks.selectors import (
    SeenCheck,
    batch_get,
    check_get,
    checks_of,
    evidence_pair,
    is_answered,
    work_picture_visible,
)
from webapp.checks.services import check_delete, check_submit
from webapp.checks.storage import has_renditions
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_snapshot
from webapp.ratelimit import client_address
from webapp.registry.selectors import registry_size
from webapp.visitors import ensure_visitor, visitor_digest

_PER_PAGE = 20
# Beside the files a form's body has its boundaries and a few short fields.
_FORM_BYTES = 1024**2


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@csrf_exempt
def new(request: HttpRequest) -> HttpResponse:
    """Show the form; take pictures to check.

    The check of the form's token reads the whole body. So the body's size is looked at first, here, and the token
    is checked in :func:`_new`.
    """
    try:
        if request.method == "POST":
            _refuse_large_body(request)
        return _new(request)
    except (SuspiciousOperation, MultiPartParserError) as error:
        # Too many files or fields for any form of ours, or a body that is no form at all.
        refusal = ProductError(
            ErrorCode.INVALID,
            _("This could not be read as a form with at most %(limit)d pictures. Choose them again and send the form.")
            % {"limit": settings.CHECK_MAX_FILES},
        )
        return _refused(request, refusal, cause=error)
    except ProductError as error:
        return _refused(request, error)


@csrf_protect
def _new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _form_page(request, CheckForm(user=request.user))
    form = CheckForm(user=request.user, data=request.POST)
    if not form.is_valid():
        raise ProductError(
            ErrorCode.INVALID,
            _("You are not in that organisation. Choose one of yours, or none.")
            if "organisation" in form.errors
            else _("One of the choices is not on offer (any more). Choose again."),
            fields={name: [str(error) for error in errors] for name, errors in form.errors.items()},
        )
    user = request.user
    checks = check_submit(
        files=request.FILES.getlist("files"),
        owner=user if user.is_authenticated else None,
        visitor_digest="" if user.is_authenticated else ensure_visitor(request.session),
        organisation=form.chosen(),
        address=client_address(request),
        wanted=form.wanted(),
    )
    if len(checks) == 1:
        page = reverse("checks:detail", args=[checks[0].pk])
    else:
        page = reverse("checks:batch", args=[checks[0].batch])
    if request.accepts("text/html"):
        return redirect(page)
    return JsonResponse(_created(checks, page), status=201, headers={"Location": page})


def _created(checks: list[Check], page: str) -> dict[str, Any]:
    return {
        "batch": str(checks[0].batch),
        "url": page,
        "checks": [
            {
                "id": str(check.pk),
                "filename": check.filename,
                "url": reverse("checks:detail", args=[check.pk]),
                "status_url": reverse("jobs:status", args=[check.job_id]),
                "receipt_url": reverse("checks:receipt", args=[check.pk]),
            }
            for check in checks
        ],
    }


def _refuse_large_body(request: HttpRequest) -> None:
    limit = settings.CHECK_MAX_FILES * settings.UPLOAD_MAX_BYTES + _FORM_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > limit:
        raise ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("What you sent has %(size)s; at most %(files)d pictures of %(limit)s each can be sent at once.")
            % {
                "size": filesizeformat(int(length)),
                "files": settings.CHECK_MAX_FILES,
                "limit": filesizeformat(settings.UPLOAD_MAX_BYTES),
            },
            status=413,
        )


def _refused(request: HttpRequest, error: ProductError, cause: Exception | None = None) -> HttpResponse:
    """Answer a person with the form and the reason; leave a script's answer to the middleware."""
    if not request.accepts("text/html"):
        raise error from cause
    response = _form_page(request, CheckForm(user=request.user), error=error)
    response.status_code = error.status
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _form_page(request: HttpRequest, form: CheckForm, error: ProductError | None = None) -> HttpResponse:
    context = {
        "form": form,
        "error": error,
        "max_files": settings.CHECK_MAX_FILES,
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "retention": _retention(),
        "registry_size": registry_size(),
    }
    return render(request, "checks/new.html", context)


@require_safe
@never_cache
def detail(request: HttpRequest, check_id: uuid.UUID) -> HttpResponse:
    """Show a check: on its way, or its verdict, or why it ended without one. Whoever has the link may look."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    context: dict[str, Any] = _about(request, seen)
    context["batch_size"] = Check.objects.filter(batch=seen.check.batch).count()
    if is_answered(seen.check):
        context["cards"] = cards_of(seen, request.user)
        template = "checks/result.html"
    elif seen.check.job.is_final:
        template = "checks/ended.html"
    else:
        template = "checks/waiting.html"
    response = render(request, template, context)
    # The link is what opens this page: it must not turn up in a search engine.
    response["X-Robots-Tag"] = "noindex"
    return response


@require_safe
@never_cache
def batch(request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
    """Show the checks that were sent together, each on its way or with its verdict."""
    checks = batch_get(batch=batch, user=request.user, visitor_digest=visitor_digest(request.session))
    rows = [_about(request, seen) for seen in checks]
    context = {"batch": batch, "rows": rows, "working": any(not row["job"].is_final for row in rows)}
    response = render(request, "checks/batch.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response


@require_GET
@never_cache
def receipt(request: HttpRequest, check_id: uuid.UUID) -> HttpResponse:
    """Send the receipt to be kept. Whoever has the link may have it."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    response = HttpResponse(receipt_bytes(seen.check), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="provenance-receipt-{check_id}.json"'
    response["X-Robots-Tag"] = "noindex"
    return response


@require_safe
@never_cache
def compare(request: HttpRequest, check_id: uuid.UUID, ordinal: int) -> HttpResponse:
    """Lay the checked picture over a registered one, for whoever may see both."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    pair = evidence_pair(check=seen.check, ordinal=ordinal)
    allowed = seen.picture and seen.has_file and work_picture_visible(work=pair.work, user=request.user)
    if not (allowed and is_answered(seen.check) and has_renditions(check_id, ordinal)):
        raise Http404
    shown = [card for card in cards_of(seen, request.user).main if card.compare and card.ordinal == ordinal]
    if not shown:
        raise Http404
    return render(request, "checks/compare.html", {"check": seen.check, "card": shown[0], "work": pair.work})


@require_safe
@never_cache
def history(request: HttpRequest) -> HttpResponse:
    """Show what this person has checked, with their account or in this session."""
    checks = checks_of(user=request.user, visitor_digest=visitor_digest(request.session))
    page = Paginator(checks, _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "checks/history.html", {"page": page})


@require_POST
def delete(request: HttpRequest, check_id: uuid.UUID) -> HttpResponse:
    """Delete the uploaded picture; the verdict stays."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    if not seen.manage:
        raise ProductError(ErrorCode.FORBIDDEN, _("Only whoever sent this picture can delete it."), status=403)
    check_delete(check=seen.check, actor=request.user if request.user.is_authenticated else None)
    messages.success(request, _("The picture is deleted, with everything made from it."))
    return redirect("checks:detail", check_id)


def _retention() -> str:
    """Return for how long uploads are kept, in words."""
    hours = settings.CHECK_RETENTION_HOURS
    days, rest = divmod(hours, 24)
    if rest:
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def _about(request: HttpRequest, seen: SeenCheck) -> dict[str, Any]:
    """Return what the templates show of a check in any state."""
    job = seen.check.job
    return {
        "check": seen.check,
        "seen": seen,
        "job": job,
        "snapshot": job_snapshot(job),
        "may_cancel": seen.cancel,
        "answered": is_answered(seen.check),
        "permalink": request.build_absolute_uri(reverse("checks:detail", args=[seen.check.pk])),
    }
