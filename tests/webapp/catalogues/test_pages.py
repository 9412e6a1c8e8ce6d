"""Pages of catalogues: who sees them, what can be done there, and what bad input gets."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.catalogues.conftest import import_files
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem
from webapp.catalogues.services import catalogue_create, catalogue_delete
from webapp.registry.models import Deletion, Visibility, Work

pytestmark = pytest.mark.django_db


def addresses(made: CatalogueImport) -> dict[str, str]:
    item = CatalogueItem.objects.get(filename="a.jpg")
    deletion = Deletion.objects.create(organisation=made.catalogue.organisation, label="x")
    by_name = {
        "detail": made.catalogue_id,
        "edit": made.catalogue_id,
        "upload": made.catalogue_id,
        "delete": made.catalogue_id,
        "items": made.catalogue_id,
        "item": item.pk,
        "import": made.pk,
        "import-results": made.pk,
        "import-run": made.pk,
        "import-resume": made.pk,
        "import-discard": made.pk,
        "import-delete": made.pk,
        "undo": deletion.pk,
    }
    return {name: reverse(f"catalogues:{name}", args=[pk]) for name, pk in by_name.items()}


READ = ("detail", "item", "import", "import-results")
ACTIONS = ("delete", "items", "import-run", "import-resume", "import-discard", "import-delete", "undo")
WRITE = ("edit", "upload", "item", *ACTIONS)


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("owner", 200),
        ("colleague", 200),
        ("viewer", 200),
        ("outsider", 404),
        ("reviewer", 404),
        ("superuser", 404),
        ("anonymous", 302),
    ],
)
def test_who_may_read(cast: Cast, filled: CatalogueImport, who: str, status: int) -> None:
    for name in READ:
        assert cast.client(who).get(addresses(filled)[name]).status_code == status, name


@pytest.mark.parametrize("who", ["viewer", "outsider", "reviewer", "superuser", "anonymous"])
def test_who_may_not_write(cast: Cast, filled: CatalogueImport, who: str) -> None:
    expected = {"viewer": 403, "anonymous": 302}.get(who, 404)
    before = list(Work.objects.live().values_list("pk", "title").order_by("pk"))
    for name in WRITE:
        form = {"name": "Mine", "title": "Mine", "items": [str(CatalogueItem.objects.first().pk)], "action": "delete"}  # type: ignore[union-attr]
        response = cast.client(who).post(addresses(filled)[name], form)
        assert response.status_code == expected, name
        if who == "anonymous":
            assert response["Location"].startswith(reverse("account_login"))
    assert list(Work.objects.live().values_list("pk", "title").order_by("pk")) == before
    assert Catalogue.objects.live().get().name == "Prints"
    assert CatalogueImport.objects.count() == 1


def test_get_changes_nothing(cast: Cast, filled: CatalogueImport) -> None:
    for name in ACTIONS:
        assert cast.client("owner").get(addresses(filled)[name]).status_code == 405, name


def test_forms_need_their_token(cast: Cast, filled: CatalogueImport) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert strict.post(addresses(filled)["delete"]).status_code == 403
    assert Catalogue.objects.live().count() == 1


def test_the_list_shows_only_ones_own(cast: Cast, filled: CatalogueImport) -> None:
    catalogue_create(
        organisation=cast.elsewhere, name="Strange", visibility=Visibility.PUBLIC, actor=cast.outsider
    )
    page = cast.client("viewer").get(reverse("catalogues:list"))
    assert [(c.name, c.works) for c in page.context["page"]] == [("Prints", 2)]
    assert b"Strange" not in page.content
    assert "New catalogue" not in page.content.decode()
    assert cast.client("anonymous").get(reverse("catalogues:list")).status_code == 302


def test_somebody_without_an_organisation_is_told_the_next_step(cast: Cast) -> None:
    page = cast.client("reviewer").get(reverse("catalogues:list"))
    assert reverse("accounts_site:organisation-new") in page.content.decode()
    moved = cast.client("reviewer").get(reverse("catalogues:new"))
    assert moved["Location"] == reverse("accounts_site:organisation-new")


def test_making_a_catalogue(cast: Cast) -> None:
    client = cast.client("colleague")
    form = {"organisation": cast.organisation.pk, "name": " Posters ", "description": "", "visibility": "record_only"}
    made = client.post(reverse("catalogues:new"), form)
    catalogue = Catalogue.objects.get(name="Posters")
    assert made["Location"] == reverse("catalogues:upload", args=[catalogue.pk])
    assert catalogue.visibility == Visibility.RECORD_ONLY
    again = client.post(reverse("catalogues:new"), form)
    assert again.status_code == 400
    assert b"has this name" in again.content


@pytest.mark.parametrize("change", [{"name": ""}, {"visibility": "secret"}, {"organisation": "x"}, {"name": "a\0b"}])
def test_bad_catalogues_are_refused(cast: Cast, change: dict[str, str]) -> None:
    form = {"organisation": cast.organisation.pk, "name": "Posters", "visibility": "public", **change}
    assert cast.client("owner").post(reverse("catalogues:new"), form).status_code == 400
    assert Catalogue.objects.count() == 0


def test_a_catalogue_of_another_organisation_cannot_be_made(cast: Cast) -> None:
    form = {"organisation": cast.elsewhere.pk, "name": "Posters", "visibility": "public"}
    assert cast.client("owner").post(reverse("catalogues:new"), form).status_code == 400


def test_editing_a_catalogue_changes_what_others_see(cast: Cast, filled: CatalogueImport) -> None:
    client = cast.client("owner")
    form = {"name": "Prints II", "description": "All of them", "visibility": "record_only"}
    assert client.post(addresses(filled)["edit"], form).status_code == 302
    assert set(Work.objects.values_list("visibility", flat=True)) == {Visibility.RECORD_ONLY}
    assert "Prints II" in client.get(addresses(filled)["detail"]).content.decode()


# --- Browsing ---


def found(cast: Cast, made: CatalogueImport, **query: str) -> list[str]:
    page = cast.client("viewer").get(addresses(made)["detail"], query)
    assert page.status_code == 200
    return [item.work.title for item in page.context["page"]]


def test_search_filters_and_order(cast: Cast, filled: CatalogueImport) -> None:
    today, tomorrow = timezone.localdate(), timezone.localdate() + timedelta(days=1)
    assert found(cast, filled, sort="title") == ["Forest", "Sea at night"]
    assert found(cast, filled, sort="filename") == ["Sea at night", "Forest"]
    for query in ("sea", "NIGHT sea", "ada", "a.jpg", "x-17"):
        assert found(cast, filled, q=query) == ["Sea at night"], query
    assert found(cast, filled, q="sea forest") == []
    assert found(cast, filled, q="%") == []
    assert found(cast, filled, since=today.isoformat(), sort="title") == ["Forest", "Sea at night"]
    assert found(cast, filled, since=tomorrow.isoformat()) == []
    assert found(cast, filled, until=(today - timedelta(days=1)).isoformat()) == []
    later = import_files(filled.catalogue, {"c.jpg": jpeg(3), "again.jpg": jpeg(1)})
    assert found(cast, filled, upload=str(later.pk)) == ["c"]
    assert found(cast, filled, upload=str(filled.pk), sort="title") == ["Forest", "Sea at night"]


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"sort": "price"}, {"upload": "x"}, {"state": "all"}, {"q": "\0"}]
)
def test_filters_that_do_not_fit_are_told(cast: Cast, filled: CatalogueImport, query: dict[str, str]) -> None:
    page = cast.client("owner").get(addresses(filled)["detail"], query)
    assert page.status_code == 400
    assert page.context["filters"].errors


def test_any_page_number_shows_something(cast: Cast, filled: CatalogueImport) -> None:
    for number in ("0", "-1", "99", "x"):
        assert cast.client("owner").get(addresses(filled)["detail"], {"page": number}).status_code == 200


def test_titles_are_text(cast: Cast, catalogue: Catalogue) -> None:
    title = "<script>alert(1)</script>"
    made = import_files(catalogue, {"a.jpg": jpeg(1)}, details=[{"title": title, "creator": title}])
    for name in ("detail", "item", "import"):
        page = cast.client("owner").get(addresses(made)[name]).content.decode()
        assert title not in page
        assert "&lt;script&gt;" in page


# --- One picture ---


def test_editing_a_picture(cast: Cast, filled: CatalogueImport) -> None:
    client = cast.client("colleague")
    url = addresses(filled)["item"]
    assert "Sea at night" in client.get(url).content.decode()
    form = {"title": "Sea by day", "creator": "Ada", "source_url": "https://e.org/x", "catalogue": filled.catalogue_id}
    assert client.post(url, form).status_code == 302
    work = Work.objects.get(catalogue_item__filename="a.jpg")
    assert (work.title, work.source_url, work.external_id) == ("Sea by day", "https://e.org/x", "")


@pytest.mark.parametrize(
    "change", [{"title": ""}, {"title": "x" * 201}, {"source_url": "javascript:1"}, {"catalogue": "x"}]
)
def test_bad_details_are_refused(cast: Cast, filled: CatalogueImport, change: dict[str, str]) -> None:
    form = {"title": "New", "catalogue": str(filled.catalogue_id), **change}
    refused = cast.client("owner").post(addresses(filled)["item"], form)
    assert refused.status_code == 400
    assert "Sea at night" in refused.content.decode()
    assert not Work.objects.filter(title="New").exists()


def test_moving_pictures(cast: Cast, filled: CatalogueImport) -> None:
    target = catalogue_create(
        organisation=cast.organisation, name="Hidden", visibility=Visibility.RECORD_ONLY, actor=cast.owner
    )
    strange = catalogue_create(
        organisation=cast.elsewhere, name="Strange", visibility=Visibility.PUBLIC, actor=cast.outsider
    )
    client = cast.client("owner")
    one, two = CatalogueItem.objects.order_by("filename")
    client.post(addresses(filled)["item"], {"title": "Moved", "catalogue": target.pk})
    one.refresh_from_db()
    assert one.catalogue == target
    assert Work.objects.get(title="Moved").visibility == Visibility.RECORD_ONLY
    url = addresses_of_items(filled)
    for wrong in (strange.pk, uuid.uuid4(), "x", filled.catalogue_id):
        assert client.post(url, {"items": [two.pk], "action": "move", "target": wrong}).status_code == 400
    assert client.post(url, {"items": [two.pk], "action": "move", "target": target.pk}).status_code == 302
    assert target.items.count() == 2


def addresses_of_items(made: CatalogueImport) -> str:
    return reverse("catalogues:items", args=[made.catalogue_id])


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"action": "delete"}, 404),
        ({"action": "delete", "items": ["x", str(uuid.uuid4())]}, 404),
        ({"action": "explode"}, 400),
    ],
)
def test_bad_choices_are_refused(cast: Cast, filled: CatalogueImport, form: dict[str, Any], status: int) -> None:
    assert cast.client("owner").post(addresses(filled)["items"], form).status_code == status
    assert Work.objects.live().count() == 2


def test_the_pages_of_a_deleted_catalogue_are_gone(cast: Cast, filled: CatalogueImport) -> None:
    everything = addresses(filled)
    catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    for name in (*READ, "edit", "upload"):
        assert cast.client("owner").get(everything[name]).status_code == 404, name


def test_ids_that_are_none_are_not_found(cast: Cast) -> None:
    for name in ("detail", "edit", "upload", "item", "import", "import-results"):
        assert cast.client("owner").get(reverse(f"catalogues:{name}", args=[uuid.uuid4()])).status_code == 404
    assert cast.client("owner").get("/catalogues/1/").status_code == 404
