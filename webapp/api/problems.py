"""Every refusal under /api/ in one shape: the problem document (RFC 9457) of ``ProductError.as_problem``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from webapp.api.authentication import KeyRefused
from webapp.api.permissions import ScopeMissing
from webapp.errors import ErrorCode, ProductError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
PREFIX = "/api/"
# What tells a caller that the request will not do; any other exception is a fault of ours.
REFUSALS = (ProductError, exceptions.APIException, Http404, PermissionDenied, SuspiciousOperation)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Answer whatever a view of the API raised. Rest_framework calls this, with the view and request in context."""
    refusal = as_refusal(error)
    if refusal.status >= 500:
        log.error("a view of the API failed", exc_info=error)
    return Response(refusal.as_problem(), status=refusal.status, headers=headers_of(refusal), content_type=MEDIA_TYPE)


def as_refusal(error: Exception) -> ProductError:
    """Return the refusal that this exception means to a caller; one of our own faults means ``internal``."""
    match error:
        case ProductError():
            return error
        case exceptions.ValidationError():
            return invalid(_flat(error.detail))
        case exceptions.APIException():
            return _of_status(error.status_code, str(error.detail))
        case Http404():
            return _of_status(404)
        case PermissionDenied():
            return _of_status(403)
        case RequestDataTooBig():
            return _of_status(413)
        case TooManyFilesSent():
            return ProductError(
                ErrorCode.TOO_MANY_FILES,
                _("Too many files came at once. Send them in smaller groups, or in a ZIP archive."),
                status=413,
            )
        case SuspiciousOperation():
            return _of_status(400)
        case _:
            return _of_status(500)


def invalid(fields: dict[str, list[str]]) -> ProductError:
    """Return the refusal of input that is wrong in these fields (400)."""
    return ProductError(
        ErrorCode.INVALID,
        _("The request is not right in: %(fields)s. See “fields” for what to change.")
        % {"fields": ", ".join(sorted(fields))},
        fields=fields,
    )


def headers_of(refusal: ProductError) -> dict[str, str]:
    """Return the headers that belong to a refusal: when to come back, and how to show who one is (RFC 6750)."""
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Provenance"'
        if isinstance(refusal, KeyRefused):
            headers["WWW-Authenticate"] += f', error="invalid_token", error_description="{refusal.code}"'
    elif isinstance(refusal, ScopeMissing):
        headers["WWW-Authenticate"] = (
            f'Bearer realm="Provenance", error="insufficient_scope", scope="{refusal.scope.value}"'
        )
    return headers


class ProblemMiddleware:
    """Gives refusals that arise outside the API's views (no such address, a fault in between) the same shape."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Replace a page that tells of an error by its problem document."""
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        if not request.path.startswith(PREFIX) or response.status_code < 400 or not is_page:
            return response
        refusal = _of_status(response.status_code)
        if refusal.status == 404 and request.path.endswith("/"):
            refusal.message = _("There is nothing at this address. Addresses of the API end without a slash.")
        problem = HttpResponse(
            JSONRenderer().render(refusal.as_problem()),
            status=refusal.status,
            headers=headers_of(refusal),
            content_type=MEDIA_TYPE,
        )
        if "Allow" in response:
            problem["Allow"] = response["Allow"]
        return problem


def _of_status(status: int, said: str = "") -> ProductError:
    """Return the refusal for an HTTP status; ``said`` is a sentence of rest_framework's on it, where there is one."""
    codes = {
        401: (ErrorCode.NOT_AUTHENTICATED, _("A key is needed. Send yours as “Authorization: Bearer <key>”.")),
        403: (ErrorCode.FORBIDDEN, _("This key may not do that.")),
        404: (ErrorCode.NOT_FOUND, _("There is nothing of that id at this address, or it is not your organisation's.")),
        405: (ErrorCode.METHOD_NOT_ALLOWED, _("This address does not have that method; “Allow” names those it has.")),
        406: (ErrorCode.NOT_ACCEPTABLE, _("Answers are JSON. Ask for “Accept: application/json”.")),
        413: (ErrorCode.FILE_TOO_LARGE, _("The request is too large. GET /api/v1/me tells the limits.")),
        415: (
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            _("The body is of a type that is not read here. Send files as “Content-Type: multipart/form-data”."),
        ),
        429: (ErrorCode.RATE_LIMITED, _("Too many requests in too short a time. Try again later.")),
    }
    if status in codes:
        code, message = codes[status]
    elif status < 500:
        code, message = ErrorCode.INVALID, said or _("The request could not be understood.")
    else:
        code = ErrorCode.INTERNAL
        message = _("Something went wrong on our side. Try again later; if it stays so, send us X-Request-ID.")
    return ProductError(code, message, status=status)


def _flat(detail: Any, name: str = "") -> dict[str, list[str]]:
    """Return rest_framework's nested errors as field -> sentences; fields within fields are joined by dots."""
    if isinstance(detail, dict):
        parts = [(f"{name}.{key}".lstrip("."), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(value, dict) for value in detail):
        parts = [(f"{name}.{index}", value) for index, value in enumerate(detail) if value]
    else:
        return {name or "body": [str(value) for value in (detail if isinstance(detail, list) else [detail])]}
    fields: dict[str, list[str]] = {}
    for key, value in parts:
        for field, sentences in _flat(value, key).items():
            fields.setdefault(field, []).extend(sentences)
    return fields
