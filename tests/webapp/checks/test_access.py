"""Who may do what with a check: the fixed cast at every address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.checks.conftest import Register, Submit, edited, sample, upload
from tests.webapp.conftest import Cast
from webapp.checks.models import Check
from webapp.registry.models import Visibility, Work

pytestmark = pytest.mark.django_db

EVERYBODY = ("owner", "colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous")


def address(name: str, *arguments: Any) -> str:
    return reverse(f"checks:{name}", args=arguments)


def statuses(cast: Cast, ask: Callable[[Client], Any]) -> dict[str, int]:
    return {who: ask(cast.client(who)).status_code for who in EVERYBODY}


def only(*allowed: str, yes: int = 200, no: int = 404) -> dict[str, int]:
    return {who: yes if who in allowed else no for who in EVERYBODY}


@pytest.fixture
def shared(cast: Cast, register: Register, check_now: Submit) -> Check:
    """Return a check that the owner made for the organisation."""
    register("calla", organisation=cast.elsewhere)
    picture = edited("calla", "screenshot")
    return check_now(picture, "my dying aunt.jpg", owner=cast.owner, organisation=cast.organisation)


@pytest.mark.parametrize("name", ["detail", "receipt", "batch"])
def test_whoever_has_the_link_reads_the_verdict(cast: Cast, shared: Check, name: str) -> None:
    where = address(name, shared.batch if name == "batch" else shared.pk)
    assert statuses(cast, lambda client: client.get(where)) == only(*EVERYBODY)


@pytest.mark.parametrize("name", ["detail", "batch", "receipt"])
def test_the_name_of_the_file_is_for_the_sender_their_organisation_and_staff(
    cast: Cast, shared: Check, name: str
) -> None:
    where = address(name, shared.batch if name == "batch" else shared.pk)
    told = {who for who in EVERYBODY if "my dying aunt" in cast.client(who).get(where).content.decode()}
    assert told == ({"owner", "colleague", "viewer", "reviewer", "superuser"} if name != "receipt" else set())


@pytest.mark.parametrize("name", ["picture", "compare", "reference", "query", "difference"])
def test_pictures_are_for_the_sender_their_organisation_and_staff(cast: Cast, shared: Check, name: str) -> None:
    where = {
        "picture": address("picture", shared.pk),
        "compare": address("compare", shared.pk, 0),
    }.get(name) or address("rendition", shared.pk, 0, name)
    allowed = only("owner", "colleague", "viewer", "reviewer", "superuser")
    assert statuses(cast, lambda client: client.get(where)) == allowed


def test_the_page_shows_a_stranger_no_way_to_the_picture(cast: Cast, shared: Check) -> None:
    for who in ("outsider", "anonymous"):
        html = cast.client(who).get(address("detail", shared.pk)).content.decode()
        for hidden in (address("picture", shared.pk), address("compare", shared.pk, 0), address("delete", shared.pk)):
            assert hidden not in html
        assert "shown only to whoever sent it" in html


def test_deleting_is_for_the_sender_editors_and_staff(cast: Cast, submit: Submit) -> None:
    answers = {}
    for who in EVERYBODY:
        check = submit(sample("calla"), owner=cast.owner, organisation=cast.organisation)
        answers[who] = cast.client(who).post(address("delete", check.pk)).status_code
        check.refresh_from_db()
        assert (check.file_deleted_at is not None) == (answers[who] == 302)
    assert answers == only("owner", "colleague", "reviewer", "superuser", yes=302, no=403)
    assert cast.client("owner").get(address("delete", check.pk)).status_code == 405


def test_cancelling_is_for_the_sender_and_editors(cast: Cast, submit: Submit) -> None:
    answers = {}
    for who in EVERYBODY:
        check = submit(sample("calla"), owner=cast.owner, organisation=cast.organisation)
        client = cast.client(who)
        offered = "data-job-cancel" in client.get(address("detail", check.pk)).content.decode()
        answers[who] = client.post(reverse("jobs:cancel", args=[check.job_id])).status_code
        assert offered == (answers[who] == 200), "the button is shown to those who may, and to no others"
    assert answers == only("owner", "colleague", "superuser", no=403)


def test_a_check_of_ones_own_is_not_the_colleagues(cast: Cast, check_now: Submit) -> None:
    check = check_now(sample("calla"), owner=cast.owner)
    allowed = only("owner", "reviewer", "superuser")
    assert statuses(cast, lambda client: client.get(address("picture", check.pk))) == allowed


def test_a_visitors_picture_is_for_that_visitor(cast: Cast) -> None:
    visitor = Client()
    visitor.post(address("new"), {"files": upload(sample("calla"))})
    check = Check.objects.get()
    from webapp.jobs.runner import execute

    execute(str(check.job_id))
    picture = address("picture", check.pk)
    assert visitor.get(picture).status_code == 200
    assert statuses(cast, lambda client: client.get(picture)) == only("reviewer", "superuser")
    assert Client().post(address("delete", check.pk)).status_code == 403
    assert visitor.post(address("delete", check.pk)).status_code == 302


def test_a_record_only_work_is_named_and_its_picture_is_for_its_members(
    cast: Cast, register: Register, check_now: Submit
) -> None:
    work = register("calla", organisation=cast.elsewhere, visibility=Visibility.RECORD_ONLY)
    check = check_now(edited("calla", "screenshot"), owner=cast.owner, organisation=cast.organisation)
    thumb = reverse("registry:work-image", args=[work.pk, "thumb"])
    for who in EVERYBODY:
        html = cast.client(who).get(address("detail", check.pk)).content.decode()
        assert "“calla” (registered by Elsewhere)" in html
        assert (thumb in html) == (who in ("outsider", "reviewer", "superuser"))
    nobody = only()
    assert statuses(cast, lambda client: client.get(address("compare", check.pk, 0))) == nobody
    assert statuses(cast, lambda client: client.get(address("rendition", check.pk, 0, "reference"))) == nobody


def test_a_work_hidden_after_the_check_is_hidden_in_it(cast: Cast, shared: Check) -> None:
    Work.objects.update(visibility=Visibility.RECORD_ONLY)
    for name in ("reference", "query", "difference"):
        where = address("rendition", shared.pk, 0, name)
        assert statuses(cast, lambda client: client.get(where)) == only("reviewer", "superuser")  # noqa: B023
    assert statuses(cast, lambda client: client.get(address("compare", shared.pk, 0))) == only(
        "reviewer", "superuser"
    )


def test_the_link_alone_is_not_in_the_history(cast: Cast, shared: Check) -> None:
    for who in ("outsider", "anonymous", "colleague"):
        assert str(shared.pk) not in cast.client(who).get(address("history")).content.decode()
    assert str(shared.pk) in cast.client("owner").get(address("history")).content.decode()
