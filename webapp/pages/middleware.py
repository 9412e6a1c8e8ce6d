"""What happens around every request: an id that ties its log lines together, and our errors as pages."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from webapp.bodies import MARK
from webapp.errors import ErrorCode, ProductError
from webapp.pages.logs import request_id

_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Takes the caller's ``X-Request-ID`` when it is a plain one, makes one otherwise, and sends it back."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the id in the response's headers and in every log line between."""
        given = request.headers.get("X-Request-ID", "")
        token = request_id.set(given if _ID.fullmatch(given) else uuid.uuid4().hex)
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.get()
        finally:
            request_id.reset(token)
        return response


class ProductErrorMiddleware:
    """Turns a refusal raised in a view into a page, or into a problem document for a script."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer our own errors; leave all others to Django."""
        if not isinstance(error, ProductError):
            return None
        return problem_response(request, error)


class BodyLimitMiddleware:
    """Answers a request whose body was cut off because it is too large (see :mod:`webapp.bodies`)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Refuse before anything looks for what is not there."""
        limit = getattr(request, "scope", {}).get(MARK)
        if limit is None:
            return self.get_response(request)
        sentence = _("What you sent is larger than the %(limit)s that can be sent here at once. Send less at a time.")
        refusal = ProductError(ErrorCode.FILE_TOO_LARGE, sentence % {"limit": filesizeformat(limit)}, status=413)
        return problem_response(request, refusal)


def problem_response(request: HttpRequest, error: ProductError) -> HttpResponse:
    """Return the answer to a refusal: a page, or a problem document (RFC 9457) for a script."""
    response: HttpResponse
    if request.accepts("text/html"):
        response = render(request, "pages/problem.html", {"error": error}, status=error.status)
    else:
        response = JsonResponse(error.as_problem(), status=error.status, content_type="application/problem+json")
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response
