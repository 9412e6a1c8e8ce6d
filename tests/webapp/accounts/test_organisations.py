"""Organisations, their people, and who may change what."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.conftest import PASSWORD, Cast, make_person
from webapp.accounts.models import AuditEntry, Invitation, Membership, Role, User
from webapp.accounts.services import (
    invitation_accept,
    member_invite,
    member_remove,
    member_set_role,
    organisation_create,
)
from webapp.errors import ProductError

pytestmark = pytest.mark.django_db


def test_it_works(cast: Cast) -> None:
    client = cast.client("outsider")
    response = client.post(reverse("accounts_site:organisation-new"), {"name": "Prints & Co", "website": ""})
    assert response.status_code == 302
    organisation = cast.outsider.organisations.get(name="Prints & Co")
    assert Membership.objects.get(organisation=organisation).role == Role.OWNER
    assert AuditEntry.objects.filter(verb="organisation.created", object_id=organisation.pk).count() == 1


def test_a_taken_name_is_refused_in_words(cast: Cast) -> None:
    response = cast.client("outsider").post(reverse("accounts_site:organisation-new"), {"name": "The Archive"})
    assert response.status_code == 400
    assert b"This name is taken." in response.content


@pytest.mark.parametrize(
    ("who", "status"),
    [("owner", 200), ("colleague", 200), ("viewer", 200), ("outsider", 404), ("reviewer", 404), ("anonymous", 302)],
)
def test_who_sees_an_organisation(cast: Cast, who: str, status: int) -> None:
    url = reverse("accounts_site:organisation", args=[cast.organisation.pk])
    assert cast.client(who).get(url).status_code == status


@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("colleague", 403), ("viewer", 403), ("outsider", 404)])
def test_who_sees_keys(cast: Cast, who: str, status: int) -> None:
    url = reverse("accounts_site:api-keys", args=[cast.organisation.pk])
    assert cast.client(who).get(url).status_code == status


def test_a_key_is_shown_once_and_stored_hashed(cast: Cast) -> None:
    url = reverse("accounts_site:api-keys", args=[cast.organisation.pk])
    day = timezone.localdate() + timezone.timedelta(days=20)
    client = cast.client("owner")
    made = client.post(url, {"name": "robot", "scopes": ["check:read"], "expires_on": day.isoformat()})
    assert made.status_code == 201
    secret = made.context["secret"]
    assert secret.encode() in made.content
    assert secret.encode() not in client.get(url).content
    key = cast.organisation.api_keys.get(name="robot")
    assert secret not in str(vars(key))
    assert key.scopes == ["check:read"]


@pytest.mark.parametrize(
    "form",
    [
        {"name": "", "scopes": ["check:read"], "expires_on": "2099-01-01"},
        {"name": "x", "scopes": [], "expires_on": "2027-01-01"},
        {"name": "x", "scopes": ["everything"], "expires_on": "2027-01-01"},
        {"name": "x", "scopes": ["check:read"], "expires_on": "2001-01-01"},
        {"name": "x", "scopes": ["check:read"], "expires_on": "2099-01-01"},
        {"name": "x", "scopes": ["check:read"], "expires_on": "soon"},
    ],
)
def test_bad_keys_are_refused(cast: Cast, form: dict[str, object]) -> None:
    response = cast.client("owner").post(reverse("accounts_site:api-keys", args=[cast.organisation.pk]), form)
    assert response.status_code == 400
    assert response.context["form"].errors
    assert cast.organisation.api_keys.count() == 1


def test_an_invitation_reaches_only_whoever_proves_the_address(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        cast.client("owner").post(
            reverse("accounts_site:organisation", args=[cast.organisation.pk]),
            {"invite-email": "New@Archive.example", "invite-role": "viewer"},
        )
    invitation = Invitation.objects.get(email="new@archive.example")
    assert mail.outbox[0].to == ["new@archive.example"]
    assert str(invitation.pk) not in mail.outbox[0].body
    answer = reverse("accounts_site:invitation-answer", args=[invitation.pk])
    assert cast.client("outsider").post(answer, {"answer": "accept"}).status_code == 404

    unproven = User.objects.create_user("new@archive.example", PASSWORD)
    browser = Client()
    browser.force_login(unproven, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert browser.post(answer, {"answer": "accept"}).status_code == 404
    unproven.emailaddress_set.create(email="new@archive.example", verified=True, primary=True)
    assert browser.post(answer, {"answer": "accept"}).status_code == 302
    assert Membership.objects.get(user=unproven).role == Role.VIEWER
    assert browser.post(answer, {"answer": "accept"}).status_code == 404


def test_inviting_twice_or_a_member_is_refused(cast: Cast) -> None:
    member_invite(organisation=cast.organisation, email="a@b.example", role="editor", invited_by=cast.owner)
    with pytest.raises(ProductError, match="invited already"):
        member_invite(organisation=cast.organisation, email="A@b.example", role="editor", invited_by=cast.owner)
    with pytest.raises(ProductError, match="member already"):
        member_invite(
            organisation=cast.organisation, email=cast.colleague.email, role="editor", invited_by=cast.owner
        )


def test_an_expired_invitation_can_be_sent_anew(cast: Cast) -> None:
    old = member_invite(organisation=cast.organisation, email="a@b.example", role="editor", invited_by=cast.owner)
    Invitation.objects.update(expires_at=timezone.now())
    with pytest.raises(ProductError, match="no longer open"):
        invitation_accept(invitation=old, user=make_person("a@b.example"))
    member_invite(organisation=cast.organisation, email="a@b.example", role="editor", invited_by=cast.owner)


def test_the_last_owner_stays(cast: Cast) -> None:
    last = cast.organisation.memberships.get(user=cast.owner)
    with pytest.raises(ProductError, match="needs an owner"):
        member_remove(membership=last, actor=cast.owner)
    with pytest.raises(ProductError, match="needs an owner"):
        member_set_role(membership=last, role=Role.VIEWER, actor=cast.owner)
    second = cast.organisation.memberships.get(user=cast.colleague)
    member_set_role(membership=second, role=Role.OWNER, actor=cast.owner)
    member_remove(membership=last, actor=cast.owner)
    assert not cast.organisation.memberships.filter(user=cast.owner).exists()


def test_only_owners_change_people(cast: Cast) -> None:
    member = cast.organisation.memberships.get(user=cast.viewer)
    for who, status in (("colleague", 403), ("outsider", 404), ("owner", 302)):
        url = reverse("accounts_site:member-remove", args=[cast.organisation.pk, member.pk])
        assert cast.client(who).post(url).status_code == status
    assert not cast.organisation.memberships.filter(user=cast.viewer).exists()


def test_anybody_may_leave(cast: Cast) -> None:
    mine = cast.organisation.memberships.get(user=cast.viewer)
    url = reverse("accounts_site:member-remove", args=[cast.organisation.pk, mine.pk])
    assert cast.client("viewer").post(url).status_code == 302
    assert not Membership.objects.filter(pk=mine.pk).exists()


def test_a_member_of_another_organisation_cannot_be_reached(cast: Cast) -> None:
    other = cast.elsewhere.memberships.get(user=cast.outsider)
    url = reverse("accounts_site:member-role", args=[cast.organisation.pk, other.pk])
    assert cast.client("owner").post(url, {"role": "viewer"}).status_code == 404


def test_the_audit_record_cannot_be_changed(cast: Cast) -> None:
    organisation_create(name="Third", founder=cast.owner)
    for change in (lambda: AuditEntry.objects.update(verb="x"), lambda: AuditEntry.objects.all().delete()):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change()


def test_activity_is_shown_to_members_only(cast: Cast) -> None:
    url = reverse("accounts_site:activity", args=[cast.organisation.pk])
    assert b"made the organisation" in cast.client("viewer").get(url).content
    assert cast.client("outsider").get(url).status_code == 404
