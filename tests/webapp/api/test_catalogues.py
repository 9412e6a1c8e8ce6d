"""Catalogues and their pictures by the API: lists, search, records, deletion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.webapp.api.conftest import MakePartner, Partner, picture, work_off
from tests.webapp.conftest import Cast
from webapp.accounts.models import AuditEntry
from webapp.catalogues.models import Catalogue, CatalogueItem
from webapp.catalogues.services import catalogue_create, catalogue_delete
from webapp.registry.models import Deletion, Visibility, Work


@pytest.fixture
def filled(partner: Partner, catalogue: Catalogue) -> Iterator[Catalogue]:
    """Return the catalogue with three pictures in it."""
    files = [picture(seed, f"{name}.jpg") for seed, name in enumerate(("harbour", "bridge", "100%_tower"))]
    metadata = '[{"title": "Harbour at dawn", "creator": "A. Person", "external_id": "AR-1"}, {}, {}]'
    assert partner.post(f"/catalogues/{catalogue.pk}/items", {"file": files, "metadata": metadata}).status_code == 202
    work_off()
    assert CatalogueItem.objects.count() == 3
    return catalogue


def names(response: object) -> set[str]:
    """Return the file names in a page of items."""
    return {row["filename"] for row in response.json()["results"]}  # type: ignore[attr-defined]


def test_it_works(partner: Partner, filled: Catalogue) -> None:
    (row,) = partner.get("/catalogues").json()["results"]

    assert row == partner.get(f"/catalogues/{filled.pk}").json()
    assert (row["name"], row["item_count"], row["visibility"]) == ("Prints", 3, "public")
    items = partner.get(row["links"]["items"]).json()["results"]
    assert [item["filename"] for item in items] == ["100%_tower.jpg", "bridge.jpg", "harbour.jpg"]
    assert items[2]["work"]["title"] == "Harbour at dawn"
    assert items[2]["work"]["external_id"] == "AR-1"
    assert items[0]["work"]["title"] == "100%_tower"
    assert partner.get(items[0]["links"]["self"]).json() == items[0]
    assert partner.client.get(items[0]["links"]["page"]).status_code == 200


def test_catalogues_come_by_name_and_in_pages(partner: Partner, cast: Cast) -> None:
    for name in ("Beta", "Alpha", "gamma", "Delta"):
        catalogue_create(organisation=cast.organisation, name=name, visibility=Visibility.PUBLIC, actor=cast.owner)

    page = partner.get("/catalogues?page_size=3")
    rest = partner.get(page.json()["next"])

    seen = [row["name"] for row in (*page.json()["results"], *rest.json()["results"])]
    assert sorted(seen, key=str.lower) == seen
    assert len(seen) == 4
    assert rest.json()["next"] is None


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("harbour", {"harbour.jpg"}),
        ("HARBOUR dawn", {"harbour.jpg"}),
        ("dawn bridge", set()),
        ("AR-1", {"harbour.jpg"}),
        ("person", {"harbour.jpg"}),
        ("%25", {"100%_tower.jpg"}),
        ("_", {"100%_tower.jpg"}),
        ("", {"harbour.jpg", "bridge.jpg", "100%_tower.jpg"}),
        ("%F0%9F%8E%A8", set()),
        ("'; DROP TABLE works; --", set()),
    ],
)
def test_items_are_found_by_words(partner: Partner, filled: Catalogue, search: str, found: set[str]) -> None:
    assert names(partner.get(f"/catalogues/{filled.pk}/items?search={search}")) == found


def test_a_search_keeps_its_words_on_the_next_page(partner: Partner, filled: Catalogue) -> None:
    page = partner.get(f"/catalogues/{filled.pk}/items?search=jpg&page_size=2")

    assert "search=jpg" in page.json()["next"]
    rest = partner.get(page.json()["next"])
    assert names(page) | names(rest) == {"harbour.jpg", "bridge.jpg", "100%_tower.jpg"}


@pytest.mark.parametrize("query", ["search=%00", "search=" + "x" * 201, "page_size=-1", "cursor=e30"])
def test_a_query_that_is_wrong_is_refused(partner: Partner, catalogue: Catalogue, query: str) -> None:
    refused = partner.get(f"/catalogues/{catalogue.pk}/items?{query}")

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert list(refused.json()["fields"]) == [query.partition("=")[0]]


def test_pages_are_whole_when_many_came_in_the_same_moment(partner: Partner, filled: Catalogue) -> None:
    CatalogueItem.objects.update(created_at=timezone.now() - timedelta(hours=1))

    seen, address = [], f"/catalogues/{filled.pk}/items?page_size=1"
    while address:
        body = partner.get(address).json()
        seen += [row["filename"] for row in body["results"]]
        address = body["next"]

    assert sorted(seen) == ["100%_tower.jpg", "bridge.jpg", "harbour.jpg"]


def test_a_picture_can_be_deleted_and_members_can_undo_that(partner: Partner, cast: Cast, filled: Catalogue) -> None:
    item = CatalogueItem.objects.get(filename="bridge.jpg")

    deleted = partner.delete(f"/items/{item.pk}")

    assert deleted.status_code == 204
    assert partner.get(f"/items/{item.pk}").status_code == 404
    assert partner.delete(f"/items/{item.pk}").status_code == 404
    assert names(partner.get(f"/catalogues/{filled.pk}/items")) == {"harbour.jpg", "100%_tower.jpg"}
    assert partner.get(f"/catalogues/{filled.pk}").json()["item_count"] == 2
    assert Deletion.objects.undoable().count() == 1
    assert AuditEntry.objects.get(verb="works.deleted").api_key == cast.partner_key


def test_a_deleted_catalogue_is_not_there_nor_what_was_in_it(
    partner: Partner, cast: Cast, filled: Catalogue
) -> None:
    item = CatalogueItem.objects.first()
    assert item is not None
    catalogue_delete(catalogue=filled, actor=cast.owner)

    assert partner.get("/catalogues").json()["results"] == []
    assert partner.get(f"/catalogues/{filled.pk}").status_code == 404
    assert partner.get(f"/catalogues/{filled.pk}/items").status_code == 404
    assert partner.get(f"/items/{item.pk}").status_code == 404
    assert partner.post(f"/catalogues/{filled.pk}/items", {"file": picture()}).status_code == 404


def test_another_organisation_s_things_are_not_there(stranger: Partner, filled: Catalogue) -> None:
    item = CatalogueItem.objects.first()
    assert item is not None

    assert stranger.get("/catalogues").json()["results"] == []
    assert stranger.get(f"/catalogues/{filled.pk}").status_code == 404
    assert stranger.get(f"/catalogues/{filled.pk}/items").status_code == 404
    assert stranger.post(f"/catalogues/{filled.pk}/items", {"file": picture(7)}).status_code == 404
    assert stranger.get(f"/items/{item.pk}").status_code == 404
    assert stranger.delete(f"/items/{item.pk}").status_code == 404
    assert Work.objects.live().count() == 3


def test_a_key_that_reads_does_not_write(make_partner: MakePartner, filled: Catalogue) -> None:
    reader = make_partner(scopes=["catalogue:read"])
    item = CatalogueItem.objects.first()
    assert item is not None

    assert reader.get(f"/items/{item.pk}").status_code == 200
    assert reader.post(f"/catalogues/{filled.pk}/items", {"file": picture(7)}).status_code == 403
    assert reader.delete(f"/items/{item.pk}").status_code == 403
    assert Work.objects.live().count() == 3
