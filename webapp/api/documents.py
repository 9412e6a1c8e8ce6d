"""The API's own description: the OpenAPI document, and the pages that show it to people."""

from __future__ import annotations

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

from webapp.files import sha256_of

_RENDERERS = {
    OpenApiYamlRenderer.media_type: OpenApiYamlRenderer,
    OpenApiJsonRenderer.media_type: OpenApiJsonRenderer,
    "application/json": OpenApiJsonRenderer,
}


@cache
def document(media_type: str) -> bytes:
    """Return the OpenAPI document, made once in a process: it depends on nothing but the code."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered = _RENDERERS[media_type]().render(schema, renderer_context={})
    return rendered.encode() if isinstance(rendered, str) else rendered


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """Send the OpenAPI document, as YAML or as JSON."""
    media_type = request.get_preferred_type([*_RENDERERS]) or OpenApiYamlRenderer.media_type
    body = document(media_type)
    etag = quote_etag(sha256_of(body)[:32])
    response = HttpResponse(body, content_type=media_type, headers={"Vary": "Accept", "ETag": etag})
    unchanged = get_conditional_response(request, etag=etag, response=response)
    return unchanged if isinstance(unchanged, HttpResponse) else response


@require_safe
def guide(request: HttpRequest) -> HttpResponse:
    """Show partners how to begin."""
    return render(request, "api/guide.html", {"site": request.build_absolute_uri("/").rstrip("/")})


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document as a page on which requests can be tried."""
    return render(request, "api/docs.html")
