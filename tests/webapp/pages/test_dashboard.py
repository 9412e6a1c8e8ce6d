"""What a person finds on their dashboard, and what of others they do not."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.webapp.catalogues.conftest import import_files, sent
from tests.webapp.conftest import Cast, make_person
from tests.webapp.pictures import jpeg
from webapp.accounts.models import Membership, Role
from webapp.accounts.services import invitation_accept, member_invite, organisation_create
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create
from webapp.checks.models import Check
from webapp.jobs.services import job_cancel
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db
ADDRESS = "/dashboard/"


@pytest.fixture
def catalogue(cast: Cast) -> Catalogue:
    """Return an empty catalogue of the cast's organisation."""
    return catalogue_create(
        organisation=cast.organisation, name="Prints", visibility=Visibility.PUBLIC, actor=cast.owner
    )


def test_it_works(cast: Cast, catalogue: Catalogue) -> None:
    import_files(catalogue, {"one.jpg": jpeg(1), "two.jpg": jpeg(2)})
    response = cast.client("owner").get(ADDRESS)
    assert response.status_code == 200
    (place,) = response.context["places"]
    assert (place.works, place.membership.organisation, place.may_write) == (2, cast.organisation, True)
    assert place.stored_bytes == len(jpeg(1)) + len(jpeg(2))
    assert [(shown.name, shown.works) for shown in place.catalogues] == [("Prints", 2)]
    text = response.content.decode()
    assert "Prints" in text
    assert "finished an import" in text


def test_nobody_in_particular_is_asked_to_log_in(cast: Cast) -> None:
    response = cast.client("anonymous").get(ADDRESS)
    assert response.status_code == 302
    assert response["Location"] == f"{reverse('account_login')}?next={ADDRESS}"


def test_a_newcomer_is_told_what_to_do_next() -> None:
    client = Client()
    client.force_login(make_person("new@person.example"), backend="allauth.account.auth_backends.AuthenticationBackend")
    text = client.get(ADDRESS).content.decode()
    assert reverse("accounts_site:organisation-new") in text
    assert "You have not checked a picture yet" in text


def test_others_things_are_not_shown(cast: Cast, catalogue: Catalogue) -> None:
    import_files(catalogue, {"one.jpg": jpeg(1)})
    import_create(catalogue=catalogue, files=[sent("two.jpg", jpeg(2))], started_by=cast.owner)
    response = cast.client("outsider").get(ADDRESS)
    assert [place.membership.organisation for place in response.context["places"]] == [cast.elsewhere]
    assert response.context["running"] == []
    assert not any(entry.organisation_id == cast.organisation.pk for entry in response.context["activity"])
    assert "Prints" not in response.content.decode()


def test_keys_are_offered_to_owners_only(cast: Cast) -> None:
    keys = reverse("accounts_site:api-keys", args=[cast.organisation.pk])
    assert keys in cast.client("owner").get(ADDRESS).content.decode()
    for who in ("colleague", "viewer"):
        assert keys not in cast.client(who).get(ADDRESS).content.decode()


@pytest.mark.parametrize(("who", "may_cancel"), [("owner", True), ("colleague", True), ("viewer", False)])
def test_work_under_way_is_shown_to_colleagues(
    cast: Cast, catalogue: Catalogue, who: str, may_cancel: bool
) -> None:
    found = import_create(catalogue=catalogue, files=[sent("one.jpg", jpeg(1))], started_by=cast.owner)
    response = cast.client(who).get(ADDRESS)
    (running,) = response.context["running"]
    assert (running.title, running.may_cancel) == ("Prints", may_cancel)
    assert running.url == reverse("catalogues:import", args=[found.pk])
    text = response.content.decode()
    assert f'data-job-url="{reverse("jobs:status", args=[found.job_id])}"' in text
    assert 'role="progressbar"' in text
    assert (reverse("jobs:cancel", args=[found.job_id]) in text) is may_cancel
    job_cancel(job=found.job)
    assert cast.client(who).get(ADDRESS).context["running"] == []


def test_a_check_under_way_is_shown_to_whoever_sent_it(cast: Cast) -> None:
    client = cast.client("owner")
    picture = SimpleUploadedFile("sea.jpg", jpeg(1), content_type="image/jpeg")
    assert client.post(reverse("checks:new"), {"files": picture}).status_code == 302
    check = Check.objects.get()
    (running,) = client.get(ADDRESS).context["running"]
    assert (running.title, running.may_cancel) == ("sea.jpg", True)
    assert running.url == reverse("checks:detail", args=[check.pk])
    response = cast.client("colleague").get(ADDRESS)
    assert response.context["running"] == []
    assert list(response.context["checks"]) == []


def test_invitations_are_announced(cast: Cast) -> None:
    member_invite(
        organisation=cast.organisation, email=cast.outsider.email, role=Role.VIEWER, invited_by=cast.owner
    )
    response = cast.client("outsider").get(ADDRESS)
    assert response.context["invitations"] == 1
    assert reverse("accounts_site:invitations") in response.content.decode()
    invitation_accept(invitation=cast.organisation.invitations.get(), user=cast.outsider)
    response = cast.client("outsider").get(ADDRESS)
    assert response.context["invitations"] == 0
    assert len(response.context["places"]) == 2


def test_many_organisations_cost_no_more_queries(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = cast.client("owner")
    with django_assert_max_num_queries(25) as few:
        client.get(ADDRESS)
    for number in range(5):
        organisation = organisation_create(name=f"House {number}", founder=cast.outsider)
        Membership.objects.create(user=cast.owner, organisation=organisation, role=Role.EDITOR)
        catalogue_create(
            organisation=organisation, name="Prints", visibility=Visibility.PUBLIC, actor=cast.outsider
        )
    with django_assert_max_num_queries(len(few)):
        assert len(client.get(ADDRESS).context["places"]) == 6
