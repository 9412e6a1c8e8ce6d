"""What people do with organisations, invitations and keys. Each is one transaction with one audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, models, transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.models import (
    ApiKey,
    AuditEntry,
    Invitation,
    Membership,
    Organisation,
    Role,
    Scope,
    User,
)
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of

INVITATION_DAYS = 14
KEY_PREFIX = "pvk_"


def audit(
    *,
    verb: str,
    obj: models.Model,
    actor: User | None = None,
    api_key: ApiKey | None = None,
    organisation: Organisation | None = None,
    data: dict[str, Any] | None = None,
) -> AuditEntry:
    """Write who did what to which row. Call it inside the transaction that does it; never put secrets into data.

    Args:
        verb: ``noun.verb`` such as ``catalogue.deleted``.
        data: JSON of what a reader of the record needs beside the row itself.
    """
    return AuditEntry.objects.create(
        verb=verb,
        object_type=obj._meta.label_lower,
        object_id=str(obj.pk),
        actor=actor,
        api_key=api_key,
        organisation=organisation,
        data=data or {},
    )


@transaction.atomic
def organisation_create(*, name: str, website: str = "", founder: User) -> Organisation:
    """Make an organisation with its founder as owner.

    Raises:
        ProductError: the name is taken.
    """
    organisation = Organisation(name=name.strip(), website=website)
    try:
        with transaction.atomic():
            organisation.save()
    except IntegrityError as error:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("An organisation of that name exists already. Ask a colleague there to invite you, or choose another."),
            status=409,
            fields={"name": [_("This name is taken.")]},
        ) from error
    Membership.objects.create(user=founder, organisation=organisation, role=Role.OWNER)
    audit(verb="organisation.created", obj=organisation, actor=founder, organisation=organisation)
    return organisation


@transaction.atomic
def organisation_edit(*, organisation: Organisation, name: str, website: str, actor: User) -> Organisation:
    """Change what an organisation is called and where it is found.

    Raises:
        ProductError: the name is taken.
    """
    before = {"name": organisation.name, "website": organisation.website}
    organisation.name, organisation.website = name.strip(), website
    try:
        with transaction.atomic():
            organisation.save(update_fields=("name", "website"))
    except IntegrityError as error:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("An organisation of that name exists already."),
            status=409,
            fields={"name": [_("This name is taken.")]},
        ) from error
    audit(verb="organisation.edited", obj=organisation, actor=actor, organisation=organisation, data={"before": before})
    return organisation


@transaction.atomic
def member_invite(*, organisation: Organisation, email: str, role: str, invited_by: User) -> Invitation:
    """Offer a place to an address and tell it by e-mail. The message carries no secret.

    Raises:
        ProductError: they are a member, or are invited, already.
    """
    email = email.strip().lower()
    if organisation.memberships.filter(user__email=email).exists():
        raise ProductError(
            ErrorCode.CONFLICT,
            _("%(email)s is a member already.") % {"email": email},
            status=409,
            fields={"email": [_("This person is a member already.")]},
        )
    now = timezone.now()
    organisation.invitations.filter(email=email, accepted_at=None, withdrawn_at=None, expires_at__lte=now).update(
        withdrawn_at=now
    )
    invitation = Invitation(
        organisation=organisation,
        email=email,
        role=role,
        invited_by=invited_by,
        expires_at=now + timedelta(days=INVITATION_DAYS),
    )
    try:
        with transaction.atomic():
            invitation.save()
    except IntegrityError as error:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("%(email)s is invited already.") % {"email": email},
            status=409,
            fields={"email": [_("This address is invited already.")]},
        ) from error
    audit(
        verb="invitation.sent",
        obj=invitation,
        actor=invited_by,
        organisation=organisation,
        data={"email": email, "role": role},
    )
    text = render_to_string(
        "accounts/mail/invitation.txt",
        {"invitation": invitation, "url": settings.SITE_URL + reverse("accounts_site:invitations")},
    )
    subject = _("Join %(organisation)s on Provenance") % {"organisation": organisation.name}
    transaction.on_commit(lambda: send_mail(subject, text, None, [email]))
    return invitation


@transaction.atomic
def invitation_accept(*, invitation: Invitation, user: User) -> Membership:
    """Take up an invitation. The caller has made sure that the address is the user's own, proven one.

    Raises:
        ProductError: it was withdrawn, taken up, or has expired.
    """
    invitation = Invitation.objects.select_for_update().get(pk=invitation.pk)
    if invitation.accepted_at or invitation.withdrawn_at or invitation.expires_at <= timezone.now():
        raise ProductError(ErrorCode.GONE, _("This invitation is no longer open. Ask for a new one."), status=410)
    membership, _made = Membership.objects.get_or_create(
        user=user, organisation=invitation.organisation, defaults={"role": invitation.role}
    )
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=("accepted_at",))
    audit(verb="invitation.accepted", obj=invitation, actor=user, organisation=invitation.organisation)
    return membership


@transaction.atomic
def invitation_withdraw(*, invitation: Invitation, actor: User) -> None:
    """Take an open invitation back, or decline it."""
    changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, withdrawn_at=None).update(
        withdrawn_at=timezone.now()
    )
    if changed:
        audit(verb="invitation.withdrawn", obj=invitation, actor=actor, organisation=invitation.organisation)


@transaction.atomic
def member_set_role(*, membership: Membership, role: str, actor: User) -> None:
    """Give a member another role.

    Raises:
        ProductError: it would leave the organisation without an owner.
    """
    _keep_an_owner(membership, leaves=role != Role.OWNER)
    before = membership.role
    membership.role = role
    membership.save(update_fields=("role",))
    audit(
        verb="member.role_changed",
        obj=membership,
        actor=actor,
        organisation=membership.organisation,
        data={"user": membership.user_id, "before": before, "after": role},
    )


@transaction.atomic
def member_remove(*, membership: Membership, actor: User) -> None:
    """End a membership.

    Raises:
        ProductError: it would leave the organisation without an owner.
    """
    _keep_an_owner(membership, leaves=True)
    audit(
        verb="member.removed",
        obj=membership,
        actor=actor,
        organisation=membership.organisation,
        data={"user": membership.user_id, "role": membership.role},
    )
    membership.delete()


def _keep_an_owner(membership: Membership, *, leaves: bool) -> None:
    # The lock makes two owners who leave at once wait for each other.
    Organisation.objects.select_for_update().get(pk=membership.organisation_id)
    others = Membership.objects.filter(organisation_id=membership.organisation_id, role=Role.OWNER).exclude(
        pk=membership.pk
    )
    if leaves and membership.role == Role.OWNER and not others.exists():
        raise ProductError(
            ErrorCode.CONFLICT,
            _("An organisation needs an owner. Make somebody else owner first."),
            status=409,
        )


@transaction.atomic
def api_key_create(
    *, organisation: Organisation, name: str, scopes: Sequence[str], expires_at: datetime, created_by: User
) -> tuple[ApiKey, str]:
    """Make a key; return its row and the secret, which is shown once and kept nowhere.

    Raises:
        ProductError: no or unknown scopes, or an end that is not within the next two years.
    """
    unknown = set(scopes) - set(Scope.values)
    if not scopes or unknown:
        raise ProductError(
            ErrorCode.INVALID, _("Choose what the key may do."), fields={"scopes": [_("Choose at least one.")]}
        )
    now = timezone.now()
    if not now < expires_at <= now + timedelta(days=731):
        raise ProductError(
            ErrorCode.INVALID,
            _("A key ends within two years."),
            fields={"expires_at": [_("Choose a day within the next two years.")]},
        )
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        organisation=organisation,
        name=name.strip(),
        prefix=secret[: len(KEY_PREFIX) + 6],
        digest=sha256_of(secret.encode()),
        scopes=sorted(set(scopes)),
        created_by=created_by,
        expires_at=expires_at,
    )
    key.full_clean()
    key.save()
    audit(
        verb="api_key.created",
        obj=key,
        actor=created_by,
        organisation=organisation,
        data={"name": key.name, "scopes": key.scopes},
    )
    return key, secret


@transaction.atomic
def api_key_revoke(*, api_key: ApiKey, actor: User) -> None:
    """End a key at once; a second time changes nothing."""
    if ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit(verb="api_key.revoked", obj=api_key, actor=actor, organisation=api_key.organisation)


def api_key_used(*, api_key: ApiKey) -> None:
    """Note that a key was used, at most once a minute, so that reads stay reads."""
    now = timezone.now()
    if api_key.last_used_at is None or api_key.last_used_at < now - timedelta(minutes=1):
        ApiKey.objects.filter(pk=api_key.pk).update(last_used_at=now)
