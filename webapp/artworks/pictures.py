"""Pictures and documents of artworks, to whoever may have them."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp import files
from webapp.artworks.selectors import artwork_get, proof_get, trial_get
from webapp.artworks.storage import Part, key_of, preview_key
from webapp.files import Area

# In the browser that asked only, and not for long: an artwork may be deleted or hidden.
_CACHE = "private, max-age=300"


@require_safe
@never_cache
def preview(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Send the picture as its generation last had it, to members."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    return _preview(seen.artwork.job_id)


@require_safe
def picture(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Send the registered picture, as it was generated, without loss."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    if not seen.picture or seen.artwork.work is None:
        raise Http404
    name = f"artwork-{artwork_id}.png" if "download" in request.GET else ""
    return _file(Area.WORKS, seen.artwork.work.sha256, "image/png", name=name)


@require_safe
def recipe(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Send the recipe, which is public: both keys are in it as commitments only."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    return _answer(seen.artwork.recipe.encode(), "application/json", name=f"recipe-{artwork_id}.json")


@require_safe
def record(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Send recipe and codes, with which the picture can be decoded again, to whoever may see the picture."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    if not seen.picture or not seen.artwork.is_registered:
        raise Http404
    return _file(Area.ARTWORKS, key_of(artwork_id, Part.RECORD), "application/json", name=f"artwork-{artwork_id}.json")


@require_safe
def proof_picture(request: HttpRequest, artwork_id: uuid.UUID, proof_id: uuid.UUID, part: str) -> HttpResponse:
    """Send what a proof made, or where it differs, to whoever may see the work."""
    proof, seen = proof_get(user=request.user, artwork_id=artwork_id, proof_id=proof_id)
    parts = {"made": Part.MADE, "difference": Part.DIFFERENCE}
    if part not in parts or not seen.picture:
        raise Http404
    return _file(Area.ARTWORKS, key_of(proof.pk, parts[part]), "image/png")


@require_safe
@never_cache
def proof_preview(request: HttpRequest, artwork_id: uuid.UUID, proof_id: uuid.UUID) -> HttpResponse:
    """Send the picture as it is made again, to whoever may see the work."""
    proof, seen = proof_get(user=request.user, artwork_id=artwork_id, proof_id=proof_id)
    if not seen.picture:
        raise Http404
    return _preview(proof.job_id)


@require_safe
def trial_picture(request: HttpRequest, trial_id: uuid.UUID, part: str) -> HttpResponse:
    """Send one of the two pictures of a trial to whoever made it."""
    trial = trial_get(user=request.user, trial_id=trial_id)
    parts = {"first": Part.FIRST, "second": Part.SECOND}
    if part not in parts:
        raise Http404
    return _file(Area.ARTWORKS, key_of(trial.pk, parts[part]), "image/png")


@require_safe
@never_cache
def trial_preview(request: HttpRequest, trial_id: uuid.UUID) -> HttpResponse:
    """Send the picture on its way to whoever made the trial."""
    trial = trial_get(user=request.user, trial_id=trial_id)
    return _preview(trial.job_id)


def read_or_404(area: Area, key: str) -> bytes:
    """Return a file's bytes.

    Raises:
        Http404: it is not there (any more).
    """
    try:
        return files.read(area, key)
    except FileNotFoundError:
        raise Http404 from None


def _preview(job_id: uuid.UUID) -> HttpResponse:
    """Send a preview. Before the first and after the end there is none, which is no error: pages ask all the time."""
    try:
        return _answer(files.read(Area.DERIVED, preview_key(job_id)), "image/jpeg", cache="no-store")
    except FileNotFoundError:
        return HttpResponse(status=204)


def _file(area: Area, key: str, media_type: str, *, name: str = "", cache: str = _CACHE) -> HttpResponse:
    return _answer(read_or_404(area, key), media_type, name=name, cache=cache)


def _answer(data: bytes, media_type: str, *, name: str = "", cache: str = _CACHE) -> HttpResponse:
    response = HttpResponse(data, content_type=media_type)
    if name:
        response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = cache
    return response
