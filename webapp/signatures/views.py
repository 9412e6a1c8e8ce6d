"""A work's signature: its page, the registered file, the signed copy."""

from __future__ import annotations

import uuid
from typing import cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from provenance.images.decode import MEDIA_TYPES
from webapp import files
from webapp.accounts.models import User
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import JobState
from webapp.jobs.selectors import job_snapshot
from webapp.page_forms import form_of_page
from webapp.registry.models import Work
from webapp.signatures import services
from webapp.signatures.keys import false_acceptance
from webapp.signatures.models import SignatureCode
from webapp.signatures.selectors import SeenSigning, signing_get
from webapp.signatures.signing import has_copy, signed_key

_SUFFIXES = {media_type: name.lower() for name, media_type in MEDIA_TYPES.items()}


def person(request: HttpRequest) -> User:
    """Return who is logged in; only for views that ask for it."""
    return cast(User, request.user)


@require_safe
@never_cache
def work_page(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Offer the registered file and its signed copy, and say how the latter is."""
    seen = signing_get(user=request.user, work_id=work_id)
    code = seen.code
    job = code.job if code else None
    revoked = seen.work.signature_codes.exclude(revoked_at=None).order_by("-revoked_at").first()
    context = {
        "seen": seen,
        "work": seen.work,
        "code": code,
        "copy": code is not None and has_copy(code),
        "job": job if job and not job.is_final else None,
        "snapshot": job_snapshot(job) if job and not job.is_final else None,
        "failed": job if job and job.state == JobState.FAILED else None,
        "revoked": revoked if code is None and revoked and revoked.can_be_restored else None,
        "checks": f"{round(1 / false_acceptance()):,}",
    }
    return render(request, "signatures/work.html", context)


@form_of_page("signatures:work")
def work_sign(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Have the work signed."""
    services.signing_begin(work=_writable(request, work_id).work, actor=person(request))
    return redirect("signatures:work", work_id)


@form_of_page("signatures:work")
def work_revoke(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Revoke the work's signature."""
    code = _writable(request, work_id).code
    if code is not None:
        services.code_revoke(code=code, actor=person(request))
    return redirect("signatures:work", work_id)


@form_of_page("signatures:work")
def work_restore(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Take the last revocation back."""
    seen = _writable(request, work_id)
    code = SignatureCode.objects.filter(work=seen.work).exclude(revoked_at=None).order_by("-revoked_at").first()
    if code is None:
        messages.info(request, _("There is nothing to undo."))
        return redirect("signatures:work", work_id)
    try:
        services.code_restore(code=code, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("Undone: the signature is in force again."))
    return redirect("signatures:work", work_id)


@require_safe
def original(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Send the registered file, byte for byte."""
    work = signing_get(user=request.user, work_id=work_id).work
    name = f"{_file_name(work)}.{_SUFFIXES.get(work.media_type, 'bin')}"
    return send_file(Area.WORKS, work.sha256, work.media_type, name)


@require_safe
def signed(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Send the signed copy, where it has been made."""
    seen = signing_get(user=request.user, work_id=work_id)
    if seen.code is None:
        raise Http404
    return send_file(Area.SIGNATURES, signed_key(seen.code), "image/png", f"{_file_name(seen.work)}-signed.png")


def send_file(area: Area, key: str, media_type: str, name: str) -> HttpResponse:
    """Send a file to be saved.

    Raises:
        Http404: it is not there (any more).
    """
    try:
        response = HttpResponse(files.read(area, key), content_type=media_type)
    except FileNotFoundError:
        raise Http404 from None
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, no-store"
    return response


def _file_name(work: Work) -> str:
    """Return a name for its files, without an ending: its title's letters and digits."""
    return slugify(work.title, allow_unicode=True)[:80] or str(work.pk)


def _writable(request: HttpRequest, work_id: uuid.UUID) -> SeenSigning:
    seen = signing_get(user=request.user, work_id=work_id)
    if not seen.write:
        raise ProductError(
            ErrorCode.FORBIDDEN,
            _("Only owners and editors of the organisation can do this. Ask an owner to make you an editor."),
            status=403,
        )
    return seen
