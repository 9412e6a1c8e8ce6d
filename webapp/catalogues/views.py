"""Pages of catalogues and their items, and the undoing of what was deleted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.models import User
from webapp.accounts.selectors import organisations_of, organisations_to_fill
from webapp.catalogues import selectors, services
from webapp.catalogues.forms import CatalogueForm, FilterForm, ItemForm, NewCatalogueForm
from webapp.catalogues.models import Catalogue
from webapp.errors import ErrorCode, ProductError
from webapp.registry.models import Deletion
from webapp.registry.services import WorkDetails
from webapp.registry.storage import storage_used

PAGE_SIZE = 48


def person(request: HttpRequest) -> User:
    """Return who is logged in; only for views that ask for it."""
    return cast(User, request.user)


def require_writer(may_write: bool) -> None:
    """Refuse members who may only look.

    Raises:
        ProductError: they may not change anything.
    """
    if not may_write:
        raise ProductError(
            ErrorCode.FORBIDDEN,
            _("Only owners and editors of the organisation can do this. Ask an owner to make you an editor."),
            status=403,
        )


def just_deleted(request: HttpRequest) -> Deletion | None:
    """Return the deletion that the address names, for the banner that offers to undo it."""
    try:
        deletion_id = uuid.UUID(request.GET.get("deleted", ""))
        deletion, may_write = selectors.deletion_get(user=request.user, deletion_id=deletion_id)
    except (ValueError, Http404):
        return None
    return deletion if may_write and Deletion.objects.undoable().filter(pk=deletion.pk).exists() else None


@login_required
@require_GET
def catalogue_list(request: HttpRequest) -> HttpResponse:
    """Show a person's catalogues, and what was deleted lately."""
    writable = organisations_to_fill(request.user)
    context = {
        "page": Paginator(selectors.catalogues_of(request.user), PAGE_SIZE).get_page(request.GET.get("page")),
        "may_create": writable.exists(),
        "has_organisation": organisations_of(request.user).exists(),
        "storage": [(one, storage_used(one)) for one in writable.order_by("name")],
        "deletions": selectors.deletions_undoable(writable)[:20],
        "just_deleted": just_deleted(request),
    }
    return render(request, "catalogues/list.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def catalogue_new(request: HttpRequest) -> HttpResponse:
    """Make a catalogue."""
    organisations = organisations_to_fill(request.user)
    if not organisations.exists():
        messages.info(request, _("A catalogue belongs to an organisation. Make one first, or ask to be an editor."))
        return redirect("accounts_site:organisation-new")
    form = NewCatalogueForm(
        request.POST or None, organisations=organisations, initial={"organisation": organisations.first()}
    )
    if request.method == "POST" and form.is_valid():
        try:
            catalogue = services.catalogue_create(**form.cleaned_data, actor=person(request))
        except ProductError as error:
            _show_refusal(form, error)
        else:
            return redirect("catalogues:upload", catalogue.pk)
    return render(request, "catalogues/edit.html", {"form": form}, status=400 if form.errors else 200)


@login_required
@require_GET
def catalogue_detail(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Browse a catalogue."""
    catalogue, may_write = selectors.catalogue_get(user=request.user, catalogue_id=catalogue_id)
    filters = FilterForm(request.GET, catalogue=catalogue)
    wanted = filters.wanted()
    narrowed = any(request.GET.get(name) for name in ("state", "since", "until", "upload"))
    page = Paginator(selectors.items_find(catalogue, wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "catalogue": catalogue,
        "may_write": may_write,
        "filters": filters,
        "narrowed": narrowed,
        "filtered": narrowed or bool(request.GET.get("q")),
        "wanted": wanted,
        "page": page,
        "imports": selectors.imports_of(catalogue)[:10],
        "targets": _targets(catalogue) if may_write else [],
        "just_deleted": just_deleted(request),
    }
    return render(request, "catalogues/detail.html", context, status=400 if filters.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def catalogue_edit(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Change a catalogue's name, description and visibility."""
    catalogue, may_write = selectors.catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    # The form writes into its instance while it validates; the page goes on showing the stored name.
    form = CatalogueForm(request.POST or None, instance=Catalogue.objects.get(pk=catalogue.pk))
    if request.method == "POST" and form.is_valid():
        try:
            services.catalogue_edit(catalogue=catalogue, **form.cleaned_data, actor=person(request))
        except ProductError as error:
            _show_refusal(form, error)
        else:
            messages.success(request, _("Saved."))
            return redirect("catalogues:detail", catalogue.pk)
    context = {"form": form, "catalogue": catalogue}
    return render(request, "catalogues/edit.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def catalogue_delete(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Delete a catalogue with what is in it."""
    catalogue, may_write = selectors.catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    deletion = services.catalogue_delete(catalogue=catalogue, actor=person(request))
    return redirect(f"{reverse('catalogues:list')}?deleted={deletion.pk}")


@login_required
@require_POST
def items_change(request: HttpRequest, catalogue_id: uuid.UUID) -> HttpResponse:
    """Delete or move the chosen pictures."""
    catalogue, may_write = selectors.catalogue_get(user=request.user, catalogue_id=catalogue_id)
    require_writer(may_write)
    chosen = _uuids(request.POST.getlist("items"))
    if request.POST.get("action") == "delete":
        deletion = services.items_delete(catalogue=catalogue, item_ids=chosen, actor=person(request))
        return redirect(f"{reverse('catalogues:detail', args=[catalogue.pk])}?deleted={deletion.pk}")
    if request.POST.get("action") != "move":
        raise ProductError(ErrorCode.INVALID, _("Choose whether to delete or to move the pictures."))
    target = _targets(catalogue).filter(pk__in=_uuids([request.POST.get("target", "")])).first()
    if target is None:
        raise ProductError(ErrorCode.INVALID, _("Choose the catalogue to move the pictures to."))
    count = services.items_move(catalogue=catalogue, item_ids=chosen, target=target, actor=person(request))
    sentence = ngettext("%(count)d picture moved to “%(name)s”.", "%(count)d pictures moved to “%(name)s”.", count)
    messages.success(request, sentence % {"count": count, "name": target.name})
    return redirect("catalogues:detail", catalogue.pk)


@login_required
@require_http_methods(["GET", "POST"])
def item_edit(request: HttpRequest, item_id: uuid.UUID) -> HttpResponse:
    """Show a picture of a catalogue; let editors change what is said of it and where it is."""
    item, may_write = selectors.item_get(user=request.user, item_id=item_id)
    catalogues = Catalogue.objects.live().filter(organisation=item.catalogue.organisation, is_private=False)
    form = ItemForm(
        request.POST or None, instance=item.work, catalogues=catalogues, initial={"catalogue": item.catalogue}
    )
    if request.method == "POST":
        require_writer(may_write)
        if form.is_valid():
            details = {name: form.cleaned_data[name] for name in ItemForm.Meta.fields}
            target = form.cleaned_data["catalogue"]
            with transaction.atomic():
                services.item_edit(item=item, details=WorkDetails(**details), actor=person(request))
                if target != item.catalogue:
                    services.items_move(
                        catalogue=item.catalogue, item_ids=[item.pk], target=target, actor=person(request)
                    )
            messages.success(request, _("Saved."))
            return redirect("catalogues:detail", target.pk)
        item.work.refresh_from_db()
    context = {"item": item, "form": form, "may_write": may_write}
    return render(request, "catalogues/item.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def deletion_undo(request: HttpRequest, deletion_id: uuid.UUID) -> HttpResponse:
    """Undo a deletion."""
    deletion, may_write = selectors.deletion_get(user=request.user, deletion_id=deletion_id)
    require_writer(may_write)
    try:
        restored, left = services.deletion_undo(deletion=deletion, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
    else:
        sentence = ngettext(
            "Undone: %(count)d picture is registered again.",
            "Undone: %(count)d pictures are registered again.",
            restored,
        )
        messages.success(request, sentence % {"count": restored})
        if left:
            sentence = ngettext(
                "%(count)d picture is not: the same file has been registered since.",
                "%(count)d pictures are not: the same files have been registered since.",
                left,
            )
            messages.warning(request, sentence % {"count": left})
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return redirect(target)
    return redirect("catalogues:list")


def _targets(catalogue: Catalogue) -> QuerySet[Catalogue]:
    others = Catalogue.objects.live().filter(organisation=catalogue.organisation_id, is_private=False)
    return others.exclude(pk=catalogue.pk)


def _uuids(texts: Sequence[str]) -> list[uuid.UUID]:
    found = []
    for text in texts:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found


def _show_refusal(form: forms.BaseForm, error: ProductError) -> None:
    for field, sentences in error.fields.items():
        for sentence in sentences:
            form.add_error(field if field in form.fields else None, sentence)
    if not error.fields:
        form.add_error(None, str(error.message))
