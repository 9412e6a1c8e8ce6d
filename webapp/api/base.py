"""What all views of the API have in common: scopes, limits, conditional reads, and how they describe themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.http import parse_etags, quote_etag
from django.views.decorators.debug import sensitive_post_parameters
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from webapp.accounts.models import ApiKey, Scope
from webapp.api import throttling
from webapp.api.authentication import key_of
from webapp.api.schema import ApiSchema
from webapp.errors import ProductError
from webapp.files import sha256_of
from webapp.ratelimit import Allowance


# Django mails the operator the fields of a request that it answers with 5xx; a prompt may be among them.
@method_decorator(sensitive_post_parameters(), name="dispatch")
class ApiView(APIView):
    """A view of ``/api/v1/``.

    Attributes:
        scopes: method -> the scope that a key needs for it.
        tag: under which heading the documentation lists it.
        allowance: what is left to the caller of the limit that is nearest to its end.
    """

    scopes: ClassVar[Mapping[str, Scope | None]]
    tag: ClassVar[str]
    schema = ApiSchema()
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    # Those that take files name their parser; what others are sent is not read.
    parser_classes: Sequence[type[BaseParser]] = ()
    allowance: Allowance | None = None

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return rest_framework's request, with the length of a body that came in chunks (RFC 9112, section 7.1)."""
        # Parsers take a body without a declared length to be empty; this one lies in a file already.
        if isinstance(request, ASGIRequest) and "CONTENT_LENGTH" not in request.META:
            body = request._stream
            request.META["CONTENT_LENGTH"] = str(body.seek(0, os.SEEK_END))
            body.seek(0)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Count the request, then look at who calls and whether they may.

        Raises:
            ProductError: too many requests, no good key, or one without the scope.
        """
        try:
            key = cast(ApiKey | None, request.auth)
        except ProductError:
            self.use_allowance(throttling.count_request(request, None))
            raise
        self.use_allowance(throttling.count_request(request, key))
        super().initial(request, *args, **kwargs)

    def use_allowance(self, allowance: Allowance) -> None:
        """Keep what is left of a limit for the answer's headers.

        Raises:
            ProductError: nothing is left (429).
        """
        if self.allowance is None or allowance.remaining < self.allowance.remaining or not allowance.allowed:
            self.allowance = allowance
        if not allowance.allowed:
            raise throttling.refusal(allowance)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Add what every answer carries; answer a read of what the caller has already with 304."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method in ("GET", "HEAD") and response.status_code == 200:
            if isinstance(response, Response):
                response.render()
            etag = quote_etag(sha256_of(response.content)[:32])
            if _has_already(request.headers.get("If-None-Match", ""), etag):
                kept = {name: response[name] for name in ("Retry-After",) if name in response}
                response = super().finalize_response(request, Response(status=304, headers=kept))
            response["ETag"] = etag
        # A browser's or proxy's cache must ask again each time, and keep one key's answers from another's.
        response["Cache-Control"] = "private, no-cache" if "ETag" in response else "no-store"
        patch_vary_headers(response, ["Authorization"])
        if self.allowance is not None:
            for name, value in throttling.headers(self.allowance).items():
                response[name] = value
        return response


def _has_already(if_none_match: str, etag: str) -> bool:
    """Return whether the condition of RFC 9110, section 13.1.2 is false; comparison is weak."""
    tags = parse_etags(if_none_match)
    return tags == ["*"] or any(tag.removeprefix("W/") == etag for tag in tags)


__all__ = ["ApiView", "key_of"]
