"""Watching and cancelling a job without a socket."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_get, job_snapshot
from webapp.jobs.services import job_cancel
from webapp.visitors import visitor_digest


@require_GET
@never_cache
def status(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """Return the job's snapshot: the same JSON that the socket sends."""
    job, _may_cancel = job_get(job_id=job_id, user=request.user, visitor_digest=visitor_digest(request.session))
    return JsonResponse(job_snapshot(job))


@require_POST
def cancel(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Ask the job to stop; answer a form with a way back, a script with the snapshot."""
    job, may_cancel = job_get(job_id=job_id, user=request.user, visitor_digest=visitor_digest(request.session))
    if not may_cancel:
        raise ProductError(ErrorCode.FORBIDDEN, "Only whoever started this can cancel it.", status=403)
    job = job_cancel(job=job)
    target = request.POST.get("next", "")
    if target and url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return redirect(target)
    return JsonResponse(job_snapshot(job))
