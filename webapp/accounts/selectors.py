"""Reading people's things, and who may: the only way by which a view gets an organisation or a key."""

from __future__ import annotations

import uuid

from allauth.account.models import EmailAddress
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import ApiKey, Invitation, Membership, Organisation, Role, User
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of


def organisations_of(user: User | AnonymousUser) -> QuerySet[Organisation]:
    """Return the organisations in which this person has a place."""
    if not user.is_authenticated:
        return Organisation.objects.none()
    return Organisation.objects.filter(memberships__user=user)


def organisations_to_fill(user: User | AnonymousUser) -> QuerySet[Organisation]:
    """Return the organisations in whose name this person may register."""
    if not user.is_authenticated:
        return Organisation.objects.none()
    return Organisation.objects.filter(memberships__user=user, memberships__role__in=(Role.OWNER, Role.EDITOR))


def membership_get(*, user: User, organisation_id: uuid.UUID | str) -> Membership:
    """Return this person's membership with its organisation.

    Raises:
        Http404: there is no such organisation, or they are not in it.
    """
    membership = (
        Membership.objects.select_related("organisation").filter(user=user, organisation_id=organisation_id).first()
    )
    if membership is None:
        raise Http404
    return membership


def organisation_get(*, user: User, organisation_id: uuid.UUID | str) -> tuple[Organisation, bool]:
    """Return an organisation and whether this person may change what it has registered.

    Raises:
        Http404: there is no such organisation, or they are not in it.
    """
    membership = membership_get(user=user, organisation_id=organisation_id)
    return membership.organisation, membership.role in (Role.OWNER, Role.EDITOR)


def organisation_owned(*, user: User, organisation_id: uuid.UUID | str) -> Organisation:
    """Return an organisation that this person owns.

    Raises:
        Http404: there is no such organisation, or they are not in it.
        ProductError: they are in it but do not own it.
    """
    membership = membership_get(user=user, organisation_id=organisation_id)
    if membership.role != Role.OWNER:
        raise ProductError(
            ErrorCode.FORBIDDEN, "Only an owner of the organisation can do this. Ask one of them.", status=403
        )
    return membership.organisation


def proven_addresses(user: User) -> list[str]:
    """Return the e-mail addresses that this person has shown to be theirs, in lower case."""
    return [
        address.lower()
        for address in EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    ]


def invitations_for(user: User) -> QuerySet[Invitation]:
    """Return the open invitations to this person's proven addresses."""
    return Invitation.objects.select_related("organisation", "invited_by").filter(
        email__in=proven_addresses(user),
        accepted_at=None,
        withdrawn_at=None,
        expires_at__gt=timezone.now(),
    )


def api_key_by_secret(secret: str) -> ApiKey | None:
    """Return the key of that secret, in force or not; None when there is none."""
    return ApiKey.objects.select_related("organisation").filter(digest=sha256_of(secret.encode())).first()
