"""Pages on which the two keys are tried: proving ownership, and seeing what one altered pixel changes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.core.files.base import File
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from provenance.artwork.recipe import MAX_PROMPT
from webapp.artworks import proofs, trials
from webapp.artworks.charts import charts_of
from webapp.artworks.forms import KeysForm, TrialForm
from webapp.artworks.models import Mode, Proof, ProofVerdict, Trial
from webapp.artworks.pictures import read_or_404
from webapp.artworks.selectors import artwork_get, proof_get, trial_get
from webapp.artworks.storage import Part, key_of, pixels_of
from webapp.artworks.studio import preview_every
from webapp.artworks.views import person, show_refusal
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.selectors import job_snapshot

EXAMPLE = "img/signature-example.png"


@sensitive_post_parameters("prompt", "signature_kept")
@sensitive_variables("form")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def prove(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Take the two keys and have the work made again from them."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    if not seen.artwork.is_registered:
        raise Http404
    if not seen.prove:
        raise ProductError(
            ErrorCode.FORBIDDEN,
            _("This picture is not public: only members of the organisation that registered it can prove it here."),
            status=403,
        )
    given = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = KeysForm(*given, user=person(request))
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                proof = proofs.proof_create(
                    artwork=seen.artwork,
                    prompt=form.cleaned_data["prompt"],
                    signature=form.read,
                    prover=person(request),
                )
                return redirect("artworks:proof", artwork_id, proof.pk)
            except ProductError as error:
                show_refusal(form, error)
                status = error.status
    context = {
        "seen": seen,
        "artwork": seen.artwork,
        "form": form,
        "kept": form.kept if request.method == "POST" else "",
        "max_prompt": MAX_PROMPT,
        "max_bytes": settings.SIGNATURE_MAX_BYTES,
        "canonical": seen.artwork.mode == Mode.CANONICAL,
    }
    return render(request, "artworks/prove.html", context, status=status)


@require_safe
@never_cache
def proof_page(request: HttpRequest, artwork_id: uuid.UUID, proof_id: uuid.UUID) -> HttpResponse:
    """Show a proof: its commitments at once, then the work being made again, then what came out."""
    proof, seen = proof_get(user=request.user, artwork_id=artwork_id, proof_id=proof_id)
    own = request.user.is_authenticated and proof.prover_id == request.user.pk
    context: dict[str, Any] = {
        "seen": seen,
        "artwork": seen.artwork,
        "proof": proof,
        "own": own,
        "canonical": seen.artwork.mode == Mode.CANONICAL,
        **_about_job(proof.job, json.loads(seen.artwork.recipe), may_cancel=own),
    }
    if proof.verdict:
        context["permalink"] = request.build_absolute_uri(request.path)
        context |= _about_outcome(proof, picture=seen.picture, registered=seen.artwork.work.sha256)  # type: ignore[union-attr]
    response = render(request, "artworks/proof.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response


def _about_job(job: Job, recipe: dict[str, Any], *, may_cancel: bool) -> dict[str, Any]:
    return {
        "job": job,
        "snapshot": job_snapshot(job),
        "may_cancel": may_cancel,
        "every": preview_every(recipe["iterations"]),
        "side": recipe["side"],
    }


def _about_outcome(proof: Proof, *, picture: bool, registered: str) -> dict[str, Any]:
    icon = {
        ProofVerdict.IDENTICAL: "registered",
        ProofVerdict.NEAR: "probably_registered",
        ProofVerdict.DIFFERENT: "not_found",
    }[ProofVerdict(proof.verdict)]
    charts = None
    if picture:
        made = read_or_404(Area.ARTWORKS, key_of(proof.pk, Part.MADE))
        charts = charts_of(pixels_of(read_or_404(Area.WORKS, registered)), pixels_of(made))
    assert proof.equal_share is not None, "it comes with the verdict"
    return {
        "icon": icon,
        "charts": charts,
        "explanation": explanation_of(proof),
        "percent_equal": percent_of(proof.equal_share),
    }


def percent_of(share: float) -> str:
    """Return a share in per cent; 100 only for all of it, and 0 only for nothing."""
    percent = 100 * share
    if 0 < percent < 0.01:
        return _("less than 0.01")
    if 99.99 < percent < 100:
        return _("more than 99.99")
    return f"{percent:.2f}".rstrip("0").rstrip(".")


def explanation_of(proof: Proof) -> str:
    """Return what a proof shows, in a sentence that claims no more."""
    match ProofVerdict(proof.verdict):
        case ProofVerdict.IDENTICAL:
            return _(
                "Made again from this prompt and this file, the picture is the registered one: every pixel is the same."
            )
        case ProofVerdict.NEAR if proof.artwork.mode == Mode.CANONICAL:
            return _(
                "What came out is nearly the registered picture, and not the same. A canonical work that is made again"
                " from its keys is the same in every pixel: this is a sign, and no proof."
            )
        case ProofVerdict.NEAR:
            return _(
                "What came out is nearly the registered picture. A fast draft promises no more than that: it is a"
                " strong sign, and no proof bit for bit."
            )
        case _:
            if proof.prompt_fits and proof.key_fits:
                return _(
                    "Both keys open the commitments, and yet another picture came out. The arithmetic or the models of"
                    " this site differ from those that made the work."
                )
            if proof.prompt_fits and proof.file_fits:
                return _(
                    "Both keys are those that the recipe commits to, but the pixels of the file are decoded otherwise"
                    " here, and another picture came out. It says nothing against them."
                )
            return _(
                "With these keys another picture comes out. They are not the two that the registered one was made from."
            )


@sensitive_post_parameters("prompt")
@sensitive_variables("form")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def what_changed(request: HttpRequest) -> HttpResponse:
    """Take a prompt, a picture and one pixel to alter."""
    given = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = TrialForm(*given)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                return redirect("artworks:trial", _try(request, form).pk)
            except ProductError as error:
                show_refusal(form, error)
                status = error.status
    context = {
        "form": form,
        "example": EXAMPLE,
        "max_prompt": MAX_PROMPT,
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "hours": settings.ARTWORK_TRIAL_HOURS,
        "trials": Trial.objects.filter(owner=person(request)).select_related("job")[:5],
    }
    return render(request, "artworks/what_changed.html", context, status=status)


def _try(request: HttpRequest, form: TrialForm) -> Trial:
    if form.cleaned_data["source"] == "own":
        picture = trials.picture_of(form.cleaned_data["picture"])
    else:
        found = finders.find(EXAMPLE)
        assert isinstance(found, str), "the example is a file of ours"
        with open(found, "rb") as handle:
            picture = trials.picture_of(File(handle))
    return trials.trial_create(
        owner=person(request),
        prompt=form.cleaned_data["prompt"],
        picture=picture,
        alteration=form.alteration,
    )


@login_required
@require_safe
@never_cache
def trial_page(request: HttpRequest, trial_id: uuid.UUID) -> HttpResponse:
    """Show what one altered pixel changed, to whoever asked."""
    trial = trial_get(user=request.user, trial_id=trial_id)
    recipe = json.loads(trial.recipe)
    context = {
        "trial": trial,
        "done": trial.ssim is not None,
        "hours": settings.ARTWORK_TRIAL_HOURS,
        "commitments": trial.commitments,
        "percent_equal": "" if trial.equal_share is None else percent_of(trial.equal_share),
        **_about_job(trial.job, recipe, may_cancel=True),
    }
    return render(request, "artworks/trial.html", context)
