"""The pictures of a check. What is sent is always a JPEG that we made: never the uploaded bytes."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from webapp import files
from webapp.checks.selectors import check_get, evidence_pair, work_picture_visible
from webapp.checks.storage import Rendition, heat_key, preview_key, rendition_key
from webapp.files import Area
from webapp.visitors import visitor_digest

_CACHED_SECONDS = 300


@require_safe
def upload(request: HttpRequest, check_id: uuid.UUID) -> HttpResponse:
    """Send the checked picture, reduced, to whoever sent it, members of its organisation and staff."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    if not (seen.picture and seen.has_file):
        raise Http404
    return _jpeg(preview_key(check_id))


@require_safe
def heat(request: HttpRequest, check_id: uuid.UUID) -> HttpResponse:
    """Send the checked picture with what in it speaks for AI, to whoever may see the picture."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    if not (seen.picture and seen.has_file):
        raise Http404
    return _jpeg(heat_key(check_id))


@require_safe
def rendition(request: HttpRequest, check_id: uuid.UUID, ordinal: int, rendition: str) -> HttpResponse:
    """Send a rendition of a pair to whoever may see both its pictures."""
    seen = check_get(check_id=check_id, user=request.user, visitor_digest=visitor_digest(request.session))
    if rendition not in list(Rendition) or not (seen.picture and seen.has_file):
        raise Http404
    pair = evidence_pair(check=seen.check, ordinal=ordinal)
    if not work_picture_visible(work=pair.work, user=request.user):
        raise Http404
    return _jpeg(rendition_key(check_id, ordinal, Rendition(rendition)))


def _jpeg(key: str) -> HttpResponse:
    try:
        data = files.read(Area.DERIVED, key)
    except FileNotFoundError:
        raise Http404 from None
    response = HttpResponse(data, content_type="image/jpeg")
    # In the browser that asked only, and not for long: the picture may be deleted.
    response["Cache-Control"] = f"private, max-age={_CACHED_SECONDS}"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response
