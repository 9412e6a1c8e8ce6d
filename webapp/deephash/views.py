"""A catalogue's deep hash: which it is, training one, and looking a picture up by it."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from provenance.training.deephash_pictures import LEAST_PICTURES
from webapp.artworks.trials import MOST_PIXELS, picture_of
from webapp.catalogues.models import Catalogue
from webapp.catalogues.selectors import catalogue_get
from webapp.catalogues.views import person, require_writer
from webapp.deephash import services, training
from webapp.deephash.forms import ChoiceForm, TrainingForm
from webapp.deephash.hashes import MOST_ASKED
from webapp.deephash.models import CatalogueHash
from webapp.deephash.search import codes_of
from webapp.deephash.showing import Shown, show
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.selectors import job_snapshot
from webapp.page_forms import form_of_page
from webapp.ratelimit import require

_HOUR = 3600


@login_required
@require_http_methods(["GET", "POST"])
def hash_page(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Show the catalogue's deep hash; a picture that is sent is looked up by it, and not kept."""
    catalogue, may_write = catalogue_get(user=request.user, catalogue_id=catalogue_id)
    shown, refusal = None, None
    if request.method == "POST":
        try:
            shown = _look_up(request, catalogue)
        except ProductError as error:
            refusal = error
    context = _context(catalogue, may_write, shown=shown, refusal=refusal)
    response = render(request, "deephash/page.html", context, status=refusal.status if refusal else 200)
    if refusal is not None and refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response


@form_of_page("deephash:page")
def hash_choose(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Choose the catalogue's hash, or none."""
    catalogue, may_write = catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    algorithm = request.POST.get("algorithm", "")
    services.hash_choose(catalogue=catalogue, algorithm=algorithm, actor=person(request))
    messages.success(request, _("Saved.") if algorithm else _("Saved: the catalogue uses no deep hash."))
    return redirect("deephash:page", catalogue.pk)


@form_of_page("deephash:page")
def hash_train(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Train a hash on the catalogue's pictures."""
    catalogue, may_write = catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    form = TrainingForm(request.POST)
    refusal = None
    if form.is_valid():
        try:
            training.training_begin(catalogue=catalogue, **form.cleaned_data, actor=person(request))
        except ProductError as error:
            refusal = error
        else:
            return redirect("deephash:page", catalogue.pk)
    context = _context(catalogue, may_write, training=form, refusal=refusal)
    return render(request, "deephash/page.html", context, status=refusal.status if refusal else 400)


@form_of_page("deephash:page")
def model_delete(request: HttpRequest, catalogue_id: uuid.UUID, model_id: uuid.UUID) -> HttpResponse:
    """Delete a trained model of the catalogue's organisation."""
    catalogue, may_write = catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    model = get_object_or_404(services.models_of(catalogue), pk=model_id)
    if "confirm" not in request.POST:
        raise ProductError(ErrorCode.INVALID, _("Tick that it shall be deleted: it cannot be undone."))
    services.model_delete(model=model, actor=person(request))
    messages.success(request, _("The trained hash is deleted."))
    return redirect("deephash:page", catalogue.pk)


def _context(catalogue: Catalogue, may_write: bool, **answer: Any) -> dict[str, Any]:
    """Return what the page shows, and what a form was answered."""
    choice = CatalogueHash.objects.filter(catalogue=catalogue).select_related("trained_model", "job").first()
    learning = training.training_now(catalogue)
    ended = catalogue.trained_models.filter(trained_at=None, job__state__in=FINAL_STATES).select_related("job").first()
    job: Job | None = learning.job if learning else choice.job if choice else None
    if job is not None and job.is_final:
        job = None
    return {
        "catalogue": catalogue,
        "may_write": may_write,
        "choice": choice,
        "coded": codes_of(choice).count() if choice else 0,
        "halted": services.hashing_halted(choice) if choice else None,
        "pictures": services.works_of(catalogue).count(),
        "form": ChoiceForm(catalogue=catalogue, initial={"algorithm": choice.algorithm if choice else ""}),
        "training": TrainingForm(),
        "least_pictures": LEAST_PICTURES,
        "learning": learning,
        "ended": None if learning or (choice and ended and choice.chosen_at > ended.created_at) else ended,
        "models": services.models_of(catalogue),
        "most_asked": MOST_ASKED,
        "job": job,
        "snapshot": job_snapshot(job) if job else None,
        # An answer that loads itself anew is gone, or its form is sent again.
        "watched": job is not None and not any(answer.values()),
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "max_pixels": MOST_PIXELS,
        **answer,
    }


def _look_up(request: HttpRequest, catalogue: Catalogue) -> Shown:
    """Look the sent picture up.

    Raises:
        ProductError: there is no hash to look it up by, no picture that can be read, or too many came in this hour.
    """
    upload = request.FILES.get("picture")
    if upload is None:
        raise ProductError(ErrorCode.FILE_MISSING, _("Choose a picture to look up."))
    require("deephash", str(person(request).pk), limit=settings.CHECKS_PER_HOUR_USER, window=_HOUR)
    return show(catalogue=catalogue, pixels=picture_of(upload))
