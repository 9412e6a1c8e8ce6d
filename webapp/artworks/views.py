"""Pages of artworks: the list, registering one, and the work itself, on its way or done."""

from __future__ import annotations

import json
import uuid
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from provenance.artwork.recipe import MAX_PROMPT
from provenance.models.words import MAX_WORDS
from webapp.accounts.models import User
from webapp.accounts.selectors import organisations_of, organisations_to_fill
from webapp.artworks import services
from webapp.artworks.forms import ArtworkEditForm, ArtworkForm
from webapp.artworks.library import preset_words, unknown_words
from webapp.artworks.models import Artwork, Mode
from webapp.artworks.selectors import SeenArtwork, artwork_get, artworks_of, proofs_of
from webapp.artworks.studio import preview_every
from webapp.artworks.vault import prompt_of
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_snapshot

PAGE_SIZE = 24
_PROOFS_SHOWN = 20


def person(request: HttpRequest) -> User:
    """Return who is logged in; only for views that ask for it."""
    return cast(User, request.user)


def show_refusal(form: forms.BaseForm, error: ProductError) -> None:
    """Put a refusal's sentences beside the fields that they are about."""
    for field, sentences in error.fields.items():
        for sentence in sentences:
            form.add_error(field if field in form.fields else None, sentence)
    if not error.fields:
        form.add_error(None, str(error.message))


@login_required
@require_safe
@never_cache
def artwork_list(request: HttpRequest) -> HttpResponse:
    """Show the artworks of a person's organisations."""
    page = Paginator(artworks_of(request.user), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "working": any(not artwork.job.is_final for artwork in page),
        "may_create": organisations_to_fill(request.user).exists(),
        "has_organisation": organisations_of(request.user).exists(),
        "deleted": _just_deleted(request),
    }
    return render(request, "artworks/list.html", context)


@sensitive_post_parameters("prompt", "signature_kept", "unknown_accepted")
@sensitive_variables("form", "unknown")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """Take the two keys and what else a picture needs, and have it generated."""
    organisations = organisations_to_fill(request.user)
    if not organisations.exists():
        messages.info(request, _("An artwork belongs to an organisation. Make one first, or ask to be an editor."))
        return redirect(f"{reverse('accounts_site:organisation-new')}?next={request.path}")
    given = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = ArtworkForm(
        *given, user=person(request), organisations=organisations, initial={"organisation": organisations.first()}
    )
    unknown: list[str] = []
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                unknown = _unknown(form)
                if not unknown:
                    return redirect("artworks:detail", _create(request, form).pk)
            except ProductError as error:
                show_refusal(form, error)
                status = error.status
    context = {
        "form": form,
        "unknown": unknown,
        "kept": form.kept if request.method == "POST" else "",
        "max_prompt": MAX_PROMPT,
        "max_words": MAX_WORDS,
        "max_bytes": settings.SIGNATURE_MAX_BYTES,
        "one_organisation": organisations.count() == 1,
        "per_hour": settings.ARTWORKS_PER_HOUR,
    }
    response = render(request, "artworks/new.html", context, status=status)
    return response


def _unknown(form: ArtworkForm) -> list[str]:
    """Return the words of the prompt that the model does not know, unless their sender knows that already."""
    found = unknown_words(form.cleaned_data["prompt"])
    accepted = form.cleaned_data["unknown_accepted"].split()
    return found if set(found) - set(accepted) else []


def _create(request: HttpRequest, form: ArtworkForm) -> Artwork:
    found = form.cleaned_data
    return services.artwork_create(
        organisation=found["organisation"],
        owner=person(request),
        title=found["title"],
        prompt=found["prompt"],
        signature=form.read,
        wish=form.wish,
        visibility=found["visibility"],
        keep_prompt=found["keep_prompt"],
    )


@require_safe
@never_cache
def detail(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Show an artwork: being generated, ended without a picture, or registered."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id, deleted=True)
    artwork = seen.artwork
    context: dict[str, Any] = {"seen": seen, "artwork": artwork, "preset": preset_words(artwork.preset)}
    if artwork.work is not None and artwork.work.deleted_at is not None:
        return render(request, "artworks/deleted.html", context)
    if artwork.is_registered:
        context |= _about_registered(request, seen)
        return render(request, "artworks/detail.html", context)
    job = artwork.job
    recipe = json.loads(artwork.recipe)
    context |= {
        "job": job,
        "snapshot": job_snapshot(job),
        "may_cancel": seen.write,
        "every": preview_every(recipe["iterations"]),
        "side": recipe["side"],
        "has_preview": job.step != "" and job.done > 0,
    }
    template = "artworks/ended.html" if artwork.has_ended_without_picture else "artworks/making.html"
    return render(request, template, context)


def _about_registered(request: HttpRequest, seen: SeenArtwork) -> dict[str, Any]:
    artwork = seen.artwork
    recipe = json.loads(artwork.recipe)
    proofs = proofs_of(seen, request.user)
    assert artwork.work is not None
    return {
        "work": artwork.work,
        "recipe": recipe,
        "recipe_text": json.dumps(recipe, indent=2, ensure_ascii=False),
        "canonical": artwork.mode == Mode.CANONICAL,
        "prompt": prompt_of(artwork) if seen.creator else None,
        "proofs": proofs[:_PROOFS_SHOWN],
        "permalink": request.build_absolute_uri(reverse("artworks:detail", args=[artwork.pk])),
    }


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Change an artwork's title and visibility."""
    artwork = _writable(request, artwork_id)
    form = ArtworkEditForm(request.POST or None, initial={"title": artwork.title, "visibility": artwork.visibility})
    if request.method == "POST" and form.is_valid():
        try:
            services.artwork_edit(artwork=artwork, **form.cleaned_data, actor=person(request))
        except ProductError as error:
            form.add_error("title", str(error.message))
        else:
            messages.success(request, _("Saved."))
            return redirect("artworks:detail", artwork.pk)
    context = {"artwork": artwork, "form": form}
    return render(request, "artworks/edit.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def delete(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Delete an artwork."""
    artwork = _writable(request, artwork_id)
    if services.artwork_delete(artwork=artwork, actor=person(request)) is None:
        messages.success(request, _("Removed: it had no picture yet."))
        return redirect("artworks:list")
    return redirect(f"{reverse('artworks:list')}?deleted={artwork.pk}")


@login_required
@require_POST
def restore(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Undo the deletion of an artwork."""
    artwork = _writable(request, artwork_id, deleted=True)
    try:
        services.artwork_restore(artwork=artwork, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("Undone: the artwork is registered again."))
    return redirect("artworks:detail", artwork.pk)


@login_required
@require_POST
def forget_prompt(request: HttpRequest, artwork_id: uuid.UUID) -> HttpResponse:
    """Delete the kept prompt."""
    seen = artwork_get(user=request.user, artwork_id=artwork_id)
    if not seen.creator:
        raise ProductError(ErrorCode.FORBIDDEN, _("Only whoever had it generated can do this."), status=403)
    services.prompt_forget(artwork=seen.artwork, actor=person(request))
    messages.success(request, _("The prompt is deleted here. Keep your own copy: without it nothing can be proved."))
    return redirect("artworks:detail", artwork_id)


def _writable(request: HttpRequest, artwork_id: uuid.UUID, *, deleted: bool = False) -> Artwork:
    seen = artwork_get(user=request.user, artwork_id=artwork_id, deleted=deleted)
    if not seen.write:
        raise ProductError(
            ErrorCode.FORBIDDEN,
            _("Only owners and editors of the organisation can do this. Ask an owner to make you an editor."),
            status=403,
        )
    return seen.artwork


def _just_deleted(request: HttpRequest) -> Artwork | None:
    """Return the deleted artwork that the address names, for the banner that offers to undo it."""
    try:
        artwork_id = uuid.UUID(request.GET.get("deleted", ""))
    except ValueError:
        return None
    deleted = Artwork.objects.filter(work__deleted_at__isnull=False).select_related("work__deletion")
    artwork = deleted.filter(pk=artwork_id).first()
    writable = artwork is not None and organisations_to_fill(request.user).filter(pk=artwork.organisation_id).exists()
    return artwork if writable else None
