"""Pages of an organisation: its people, its keys, what happened."""

from __future__ import annotations

import uuid
from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts import selectors, services
from webapp.accounts.forms import ApiKeyForm, InvitationForm, OrganisationForm, RoleForm
from webapp.accounts.models import Role, User
from webapp.errors import ProductError


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


def _show_refusal(form: forms.BaseForm, error: ProductError) -> None:
    for field, sentences in error.fields.items():
        for sentence in sentences:
            form.add_error(field if field in form.fields else None, sentence)
    if not error.fields:
        form.add_error(None, str(error.message))


@login_required
@require_http_methods(["GET", "POST"])
def organisation_new(request: HttpRequest) -> HttpResponse:
    """Make an organisation."""
    form = OrganisationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            organisation = services.organisation_create(**form.cleaned_data, founder=_person(request))
        except ProductError as error:
            _show_refusal(form, error)
        else:
            messages.success(request, _("%(name)s is ready.") % {"name": organisation.name})
            # Back to what an organisation was needed for.
            target = request.GET.get("next", "")
            if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
                return redirect(target)
            return redirect("accounts_site:organisation", organisation.pk)
    return render(request, "accounts/organisation_new.html", {"form": form}, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def organisation(request: HttpRequest, organisation_id: uuid.UUID) -> HttpResponse:
    """Show an organisation's people; let its owners invite and rename."""
    membership = selectors.membership_get(user=_person(request), organisation_id=organisation_id)
    found, owns = membership.organisation, membership.role == Role.OWNER
    invite = InvitationForm(prefix="invite")
    edit = OrganisationForm(instance=found, prefix="edit")
    if request.method == "POST":
        selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
        try:
            if "invite-email" in request.POST:
                invite = InvitationForm(request.POST, prefix="invite")
                if invite.is_valid():
                    services.member_invite(organisation=found, **invite.cleaned_data, invited_by=_person(request))
                    messages.success(
                        request, _("%(email)s has been invited.") % {"email": invite.cleaned_data["email"]}
                    )
                    return redirect("accounts_site:organisation", found.pk)
            else:
                edit = OrganisationForm(request.POST, instance=found, prefix="edit")
                if edit.is_valid():
                    services.organisation_edit(organisation=found, **edit.cleaned_data, actor=_person(request))
                    messages.success(request, _("Saved."))
                    return redirect("accounts_site:organisation", found.pk)
        except ProductError as error:
            _show_refusal(invite if invite.is_bound else edit, error)
        found.refresh_from_db()
    context = {
        "organisation": found,
        "membership": membership,
        "owns": owns,
        "roles": Role.choices,
        "members": found.memberships.select_related("user").order_by("user__email"),
        "open_invitations": found.invitations.filter(accepted_at=None, withdrawn_at=None).order_by("email"),
        "invite_form": invite,
        "edit_form": edit,
    }
    refused = invite.errors or edit.errors
    return render(request, "accounts/organisation_detail.html", context, status=400 if refused else 200)


@login_required
@require_POST
def member_role(request: HttpRequest, organisation_id: uuid.UUID, member_id: int) -> HttpResponse:
    """Give a member another role."""
    found = selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
    membership = get_object_or_404(found.memberships, pk=member_id)
    form = RoleForm(request.POST)
    if form.is_valid():
        try:
            services.member_set_role(membership=membership, role=form.cleaned_data["role"], actor=_person(request))
        except ProductError as error:
            messages.error(request, str(error.message))
        else:
            messages.success(request, _("Saved."))
    else:
        messages.error(request, _("Choose a role from the list."))
    return redirect("accounts_site:organisation", found.pk)


@login_required
@require_POST
def member_remove(request: HttpRequest, organisation_id: uuid.UUID, member_id: int) -> HttpResponse:
    """Remove a member, or leave."""
    mine = selectors.membership_get(user=_person(request), organisation_id=organisation_id)
    leaving = mine.pk == member_id
    if not leaving:
        selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
    membership = get_object_or_404(mine.organisation.memberships, pk=member_id)
    try:
        services.member_remove(membership=membership, actor=_person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
        return redirect("accounts_site:organisation", organisation_id)
    messages.success(request, _("You have left.") if leaving else _("Removed. Invite them again to undo this."))
    return redirect("pages:dashboard") if leaving else redirect("accounts_site:organisation", organisation_id)


@login_required
@require_GET
def invitations(request: HttpRequest) -> HttpResponse:
    """Show the invitations to the addresses that this person has proven."""
    return render(
        request,
        "accounts/invitations.html",
        {"invitations": selectors.invitations_for(_person(request))},
    )


@login_required
@require_POST
def invitation_answer(request: HttpRequest, invitation_id: uuid.UUID) -> HttpResponse:
    """Accept or decline an invitation."""
    person = _person(request)
    invitation = get_object_or_404(selectors.invitations_for(person), pk=invitation_id)
    if request.POST.get("answer") == "accept":
        services.invitation_accept(invitation=invitation, user=person)
        messages.success(request, _("Welcome to %(name)s.") % {"name": invitation.organisation.name})
        return redirect("accounts_site:organisation", invitation.organisation_id)
    services.invitation_withdraw(invitation=invitation, actor=person)
    messages.success(request, _("Declined."))
    return redirect("accounts_site:invitations")


@login_required
@require_POST
def invitation_withdraw(request: HttpRequest, organisation_id: uuid.UUID, invitation_id: uuid.UUID) -> HttpResponse:
    """Take an invitation back."""
    found = selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
    services.invitation_withdraw(
        invitation=get_object_or_404(found.invitations, pk=invitation_id), actor=_person(request)
    )
    messages.success(request, _("The invitation is withdrawn."))
    return redirect("accounts_site:organisation", found.pk)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def api_keys(request: HttpRequest, organisation_id: uuid.UUID) -> HttpResponse:
    """List an organisation's keys and make new ones; the secret is in this one answer and nowhere else."""
    found = selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
    form = ApiKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = services.api_key_create(
                organisation=found,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at,
                created_by=_person(request),
            )
        except ProductError as error:
            for sentences in error.fields.values():
                form.add_error("expires_on" if "expires_at" in error.fields else "scopes", sentences[0])
        else:
            return render(
                request,
                "accounts/api_key_made.html",
                {"organisation": found, "api_key": key, "secret": secret},
                status=201,
            )
    context = {"organisation": found, "api_keys": found.api_keys.select_related("created_by"), "form": form}
    return render(request, "accounts/api_keys.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def api_key_revoke(request: HttpRequest, organisation_id: uuid.UUID, key_id: uuid.UUID) -> HttpResponse:
    """End a key."""
    found = selectors.organisation_owned(user=_person(request), organisation_id=organisation_id)
    services.api_key_revoke(api_key=get_object_or_404(found.api_keys, pk=key_id), actor=_person(request))
    messages.success(request, _("The key is revoked: it is refused from now on."))
    return redirect("accounts_site:api-keys", found.pk)


@login_required
@require_GET
def activity(request: HttpRequest, organisation_id: uuid.UUID) -> HttpResponse:
    """Show who did what in an organisation, newest first."""
    membership = selectors.membership_get(user=_person(request), organisation_id=organisation_id)
    found = membership.organisation
    pages = Paginator(found.audit_entries.select_related("actor", "api_key"), 50)
    page = pages.get_page(request.GET.get("page"))
    if not page.object_list and page.number > 1:
        raise Http404
    context = {"organisation": found, "owns": membership.role == Role.OWNER, "page": page}
    return render(request, "accounts/activity.html", context)
