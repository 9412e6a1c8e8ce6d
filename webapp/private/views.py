"""Pages of a private catalogue: making it, filling it, who asks, and what was asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from provenance.private_lookup.holding import MANIFEST
from webapp.catalogues.models import Catalogue
from webapp.catalogues.views import person, require_writer
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_snapshot
from webapp.page_forms import form_of_page
from webapp.private import content, door, intake, services
from webapp.private.alarms import alarms_of, asker_words
from webapp.private.feature import feature
from webapp.private.forms import ClientForm, TermsForm
from webapp.private.kit import kit
from webapp.private.models import HeldBy, PrivateCatalogue, PrivateState
from webapp.private.risk import table
from webapp.private.selectors import cost_of, private_get, private_of, questions_of, risk_of, state_of
from webapp.uploads import shown_name

_LATEST = 20
_MOST_LISTED = 500


@login_required
@require_GET
def page(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Show the private side of a catalogue, or how to give it one."""
    catalogue, private, may_write = private_get(user=request.user, catalogue_id=catalogue_id)
    if private is None:
        return _beginning(request, catalogue, may_write, TermsForm())
    return _page(request, private, may_write)


@form_of_page("private:page")
def begin(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Say what to expect; with ``confirm``, mark the catalogue private."""
    catalogue, private, may_write = private_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    if private is not None:
        return redirect("private:page", catalogue.pk)
    form = TermsForm(request.POST)
    if not form.is_valid():
        return _beginning(request, catalogue, may_write, form, status=400)
    if "confirm" not in request.POST:
        return _beginning(request, catalogue, may_write, form, expected=True)
    try:
        services.private_begin(
            catalogue=catalogue, terms=form.terms(), holder=form.cleaned_data["identity"], actor=person(request)
        )
    except ProductError as refusal:
        return _beginning(request, catalogue, may_write, form, expected=True, refusal=refusal)
    return redirect("private:page", catalogue.pk)


def _changing(change: Callable[..., HttpResponse | None]) -> Callable[..., HttpResponse]:
    """Make a view of what changes a private catalogue, for those who may; a refusal is shown on its page."""

    @form_of_page("private:page")
    @wraps(change)
    def view(request: HttpRequest, catalogue_id: uuid.UUID, **place: uuid.UUID) -> HttpResponse:
        private, may_write = private_of(user=request.user, catalogue_id=catalogue_id)
        require_writer(may_write)
        try:
            shown = change(request, private, **place)
        except ProductError as refusal:
            return _page(request, private, may_write, refusal)
        return shown or redirect("private:page", catalogue_id)

    return view


@_changing
def again(_request: HttpRequest, private: PrivateCatalogue) -> None:
    """Go on making keys."""
    services.keys_again(private=private)


@_changing
def upload(request: HttpRequest, private: PrivateCatalogue) -> None:
    """Take encrypted blocks and a signed manifest from a holder's own machine."""
    uploads = request.FILES.getlist("files")
    manifests = [one for one in uploads if one.name == MANIFEST]
    blocks = [one for one in uploads if (one.name or "").endswith(".block")]
    if len(manifests) != 1:
        raise ProductError(
            ErrorCode.FILE_MISSING,
            _("Choose the file “manifest” of the catalogue's folder, and with it the “.block” files that are new."),
        )
    others = [shown_name(one.name) for one in uploads if one not in manifests and one not in blocks]
    if others:
        # Lists of names are the holder's own.
        raise ProductError(
            ErrorCode.INVALID,
            _("Leave out everything but “manifest” and the “.block” files. Nothing was kept. Too many are: %(names)s")
            % {"names": ", ".join(others)},
        )
    refusals = []
    for block in blocks:
        try:
            door.block_take(private=private, sha256=(block.name or "").removesuffix(".block"), chunks=block.chunks())
        except ProductError as refusal:
            refusals.append((shown_name(block.name), refusal))
    if refusals:
        words = " ".join(f"“{name}”: {refusal.message}" for name, refusal in refusals)
        first = refusals[0][1]
        raise ProductError(first.code, words, status=first.status, retry_after=first.retry_after)
    data = manifests[0].read(door.MANIFEST_MAX_BYTES + 1)
    if content.content_send(private=private, data=data, actor=person(request)) is None:
        messages.info(request, _("This content is here already: nothing has changed."))


@_changing
def pictures(request: HttpRequest, private: PrivateCatalogue) -> None:
    """Have pictures hashed and encrypted by the trusted worker; with ``compact``, those that stay anew."""
    uploads = request.FILES.getlist("pictures")
    found = intake.pictures_take(
        private=private, uploads=uploads, actor=person(request), compact="compact" in request.POST
    )
    if found.taken:
        sentence = ngettext(
            "%(n)d picture was hashed, encrypted and forgotten.",
            "%(n)d pictures were hashed, encrypted and forgotten.",
            len(found.taken),
        )
        messages.success(request, sentence % {"n": len(found.taken)})
    for name, why in found.refused:
        messages.warning(request, _("“%(name)s” was left out: %(why)s") % {"name": name, "why": why})


@_changing
def entries(request: HttpRequest, private: PrivateCatalogue) -> None:
    """Delete entries, or take that back."""
    change = content.entries_restore if "restore" in request.POST else content.entries_delete
    change(private=private, names=request.POST.getlist("entries"), actor=person(request))


@_changing
def clients(request: HttpRequest, private: PrivateCatalogue) -> HttpResponse | None:
    """Admit a client with keys of its own."""
    form = ClientForm(request.POST)
    if not form.is_valid():
        return _page(request, private, may_write=True, client_form=form)
    services.client_admit(private=private, identity=form.cleaned_data["identity"], actor=person(request))
    return None


@_changing
def client_remove(request: HttpRequest, private: PrivateCatalogue, client_id: uuid.UUID) -> None:
    """Relay no more questions of a client."""
    services.client_remove(client=get_object_or_404(private.clients, pk=client_id), actor=person(request))


@login_required
@require_http_methods(["GET"])
def kit_download(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Send what a holder or client needs to encrypt on their own machine."""
    private, _may_write = private_of(user=request.user, catalogue_id=catalogue_id)
    response = HttpResponse(kit(private), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="private-{private.key[:8]}.zip"'
    return response


def _beginning(
    request: HttpRequest,
    catalogue: Catalogue,
    may_write: bool,
    form: TermsForm,
    *,
    expected: bool = False,
    refusal: ProductError | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "catalogue": catalogue,
        "may_write": may_write,
        "has_pictures": catalogue.items.exists(),
        "feature": feature(),
        "form": form,
        "expected": form.risk() if expected else None,
        "terms": form.terms() if expected else None,
        "refusal": refusal,
        "risks": table(),
        "undo_hours": settings.UNDO_HOURS,
    }
    return render(request, "private/begin.html", context, status=refusal.status if refusal else status)


def _page(
    request: HttpRequest,
    private: PrivateCatalogue,
    may_write: bool,
    refusal: ProductError | None = None,
    client_form: ClientForm | None = None,
) -> HttpResponse:
    job = private.job if private.job is not None and not private.job.is_final else None
    ready = private.state == PrivateState.READY
    site_held = private.held_by == HeldBy.SITE
    listed = list(enumerate(content.entries_of(private), 1)) if ready and site_held else []
    context: dict[str, Any] = {
        "catalogue": private.catalogue,
        "private": private,
        "agreement": private.agreement if private.agreement_json else None,
        "may_write": may_write,
        "ready": ready,
        "site_held": site_held,
        "refusal": refusal,
        "feature": feature(),
        "job": job,
        "snapshot": job_snapshot(job) if job else None,
        "risk": risk_of(private),
        "state_number": state_of(private),
        "cost": cost_of(private),
        "entries": [(number, name) for number, (name, gone) in listed if not gone][:_MOST_LISTED],
        "deleted": [(number, name) for number, (name, gone) in listed if gone][:_MOST_LISTED],
        "api_address": settings.SITE_URL + reverse("api:private-catalogue", args=[private.catalogue_id]),
        "questions": questions_of(private)[:_LATEST],
        "alarms": [(one, asker_words(one.data["credential"], person(request))) for one in alarms_of(private)[:_LATEST]],
        "clients": private.clients.filter(removed_at=None),
        "client_form": client_form or ClientForm(),
        "max_files": intake.MOST_FILES,
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "limit": settings.PRIVATE_QUESTIONS_PER_DAY,
    }
    status = refusal.status if refusal else 400 if client_form is not None else 200
    response = render(request, "private/page.html", context, status=status)
    if refusal is not None and refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response
