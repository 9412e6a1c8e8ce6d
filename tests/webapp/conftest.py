"""The fixed cast: who meets every page and every endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import ApiKey, Membership, Organisation, Role, Scope, User
from webapp.accounts.services import api_key_create, organisation_create

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Cast:
    """People of the tests.

    The owner and the colleague (an editor) and the viewer belong to ``organisation``; the outsider owns ``elsewhere``;
    the reviewer is staff and belongs to nobody; ``partner_key`` is a key of ``organisation`` with every scope.
    """

    organisation: Organisation
    elsewhere: Organisation
    owner: User
    colleague: User
    viewer: User
    outsider: User
    reviewer: User
    superuser: User
    partner_key: ApiKey
    partner_secret: str

    def client(self, who: str) -> Client:
        """Return a logged-in browser of that person; ``anonymous`` has none but a browser."""
        client = Client()
        if who != "anonymous":
            client.force_login(getattr(self, who), backend="allauth.account.auth_backends.AuthenticationBackend")
        return client


def make_person(email: str, **extra: bool) -> User:
    """Make a person with a proven address."""
    user = User.objects.create_user(email, PASSWORD, **extra)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


@pytest.fixture
def cast(db: None) -> Cast:
    """Return the fixed cast."""
    owner, colleague, viewer = (
        make_person(f"{who}@archive.example") for who in ("owner", "colleague", "viewer")
    )
    outsider = make_person("outsider@elsewhere.example")
    organisation = organisation_create(name="The Archive", founder=owner)
    Membership.objects.create(user=colleague, organisation=organisation, role=Role.EDITOR)
    Membership.objects.create(user=viewer, organisation=organisation, role=Role.VIEWER)
    key, secret = api_key_create(
        organisation=organisation,
        name="partner",
        scopes=Scope.values,
        expires_at=timezone.now() + timedelta(days=30),
        created_by=owner,
    )
    return Cast(
        organisation=organisation,
        elsewhere=organisation_create(name="Elsewhere", founder=outsider),
        owner=owner,
        colleague=colleague,
        viewer=viewer,
        outsider=outsider,
        reviewer=make_person("reviewer@provenance.example", is_staff=True),
        superuser=make_person("root@provenance.example", is_staff=True, is_superuser=True),
        partner_key=key,
        partner_secret=secret,
    )


@pytest.fixture(autouse=True)
def fresh_limits_and_files(settings: object, tmp_path: Path) -> Iterator[None]:
    """Give each test its own uploads folder, and limits that nobody used yet."""
    cache.clear()
    settings.MEDIA_ROOT = tmp_path / "media"  # type: ignore[attr-defined]
    yield
    cache.clear()
