"""The public page of a work, and the copies of its picture."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from webapp.registry.access import work_get
from webapp.registry.models import Fingerprint
from webapp.registry.renditions import Size, rendition_read

# Short, and for this browser only: a deletion or a change of visibility must take effect.
_CACHE = "private, max-age=300"


@require_safe
def work_page(request: HttpRequest, work_id: uuid.UUID) -> HttpResponse:
    """Show what is registered: the picture where that is public, its record always."""
    seen = work_get(user=request.user, work_id=work_id)
    context = {
        "seen": seen,
        "work": seen.work,
        "fingerprints": [
            {"algorithm": row.algorithm, "hex": _hex(row), "percent": round(100 * row.quality)}
            for row in seen.work.fingerprints.order_by("algorithm")
        ],
    }
    return render(request, "registry/work.html", context)


@require_safe
def work_image(request: HttpRequest, work_id: uuid.UUID, size: str) -> HttpResponseBase:
    """Send a copy of the picture: always our own JPEG, never the file that was uploaded."""
    seen = work_get(user=request.user, work_id=work_id)
    if size not in list(Size) or not seen.picture:
        raise Http404
    etag = quote_etag(f"{seen.work.sha256[:32]}-{size}")
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        return unchanged
    try:
        data = rendition_read(seen.work.sha256, Size(size))
    except FileNotFoundError as error:
        raise Http404 from error
    response = HttpResponse(data, content_type="image/jpeg")
    response["Content-Disposition"] = f'inline; filename="{work_id}-{size}.jpg"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = _CACHE
    response["ETag"] = etag
    return response


def _hex(row: Fingerprint) -> str:
    return f"{int(row.bits, 2):0{len(row.bits) // 4}x}"
