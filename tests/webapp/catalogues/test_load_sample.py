"""The sample catalogue: loaded once, whole, with what it says of each picture."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from provenance.images.decode import decode
from webapp.accounts.models import Organisation, User
from webapp.catalogues import sample
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow, RowState
from webapp.catalogues.services import catalogue_delete
from webapp.registry.models import Work


def load(*options: str) -> str:
    output = io.StringIO()
    call_command("load_sample", *options, stdout=output)
    return output.getvalue()


def described() -> list[dict[str, str]]:
    with (sample.sample_folder() / "catalogue.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(autouse=True)
def few_pictures(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all tests but the first load three of the pictures."""
    if "whole" in request.node.name:
        return
    for line in described()[:3]:
        source = sample.sample_folder() / line["filename"]
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "catalogue.csv").write_bytes((sample.sample_folder() / "catalogue.csv").read_bytes())
    monkeypatch.setattr(sample, "sample_folder", lambda: tmp_path)


@pytest.mark.django_db
def test_it_loads_the_whole_sample() -> None:
    said = load()
    lines = described()
    assert 30 <= len(lines) <= 40
    assert f"{len(lines)} pictures registered" in said
    assert set(ImportRow.objects.values_list("state", flat=True)) == {RowState.REGISTERED}
    for line in lines:
        work = Work.objects.get(catalogue_item__filename=line["filename"])
        assert (work.title, work.creator) == (line["title"], line["creator"])
        assert (work.licence, work.source_url) == (line["licence"], line["source_url"])


def test_the_whole_sample_is_small_and_says_whose_it_is() -> None:
    lines = described()
    pictures = sorted(path.name for path in sample.sample_folder().glob("*.jpg"))
    assert pictures == sorted(line["filename"] for line in lines)
    assert sum((sample.sample_folder() / name).stat().st_size for name in pictures) <= 3 * 1024**2
    assert all(line["creator"] and line["source_url"].startswith("https://") for line in lines)
    assert {line["licence"] for line in lines} == {
        "CC-BY-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "Public domain",
    }
    readme = (sample.sample_folder() / "README.md").read_text(encoding="utf-8")
    for line in lines:
        assert f"| {line['filename']} | {line['title']} | {line['creator']} | {line['licence']} |" in readme
        assert max(decode((sample.sample_folder() / line["filename"]).read_bytes()).pixels.shape) <= 640


@pytest.mark.django_db
def test_the_owner_can_log_in_with_what_was_printed() -> None:
    said = load()
    match = re.search(r"password (\S+) \(shown only now\)", said)
    assert match is not None
    browser = Client()
    browser.post(reverse("account_login"), {"login": sample.OWNER, "password": match[1]})
    page = browser.get(reverse("catalogues:list"))
    assert page.status_code == 200
    assert sample.CATALOGUE in page.content.decode()


@pytest.mark.django_db
def test_the_owner_administers_an_embedded_site_only(settings: Any) -> None:
    settings.EMBEDDED = False
    assert "admin" not in load()
    owner = User.objects.get(email=sample.OWNER)
    assert not owner.is_staff
    assert not owner.is_superuser


@pytest.mark.django_db
def test_the_owner_of_an_embedded_site_sees_the_admin(settings: Any) -> None:
    settings.EMBEDDED = True
    assert "admin" in load()
    assert User.objects.get(email=sample.OWNER).is_superuser


@pytest.mark.django_db
def test_a_second_time_changes_nothing() -> None:
    load()
    before = (User.objects.get().password, Work.objects.count(), CatalogueImport.objects.count())
    assert load() == ""
    assert (User.objects.get().password, Work.objects.count(), CatalogueImport.objects.count()) == before


@pytest.mark.django_db
def test_what_was_deleted_stays_deleted_unless_asked_for() -> None:
    load()
    catalogue_delete(catalogue=Catalogue.objects.get(), actor=None)
    assert load() == ""
    assert Work.objects.live().count() == 0
    assert "3 pictures registered" in load("--again")
    assert Work.objects.live().count() == 3
    assert "0 pictures registered" in load("--again")
    assert Work.objects.live().count() == 3
    assert Organisation.objects.count() == User.objects.count() == 1


@pytest.mark.django_db
def test_an_interrupted_load_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(made: CatalogueImport) -> CatalogueImport:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sample, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert "3 pictures registered" in load()
    assert CatalogueImport.objects.count() == 1
    assert load() == ""


@pytest.mark.django_db
def test_a_load_that_fails_says_why() -> None:
    (sample.sample_folder() / "catalogue.csv").write_text("title\n")
    with pytest.raises(CommandError, match="filename"):
        load()
