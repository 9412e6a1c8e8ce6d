"""Adding pictures by the API: files, archives, tables, metadata; progress and rows; and everything refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import Settings

from tests.webapp.api.conftest import Partner, picture, upload, work_off
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, zip_of
from webapp.accounts.models import AuditEntry
from webapp.catalogues.models import Catalogue, CatalogueImport
from webapp.jobs.services import job_cancel
from webapp.registry.models import Work


def add(partner: Partner, catalogue: Catalogue, **fields: Any) -> Any:
    """Send pictures to be registered."""
    return partner.post(f"/catalogues/{catalogue.pk}/items", fields)


def test_it_works(partner: Partner, catalogue: Catalogue, cast: Cast) -> None:
    files = [picture(1, "one.jpg"), picture(2, "two.jpg"), picture(1, "again.jpg"), upload(b"no picture", "bad.jpg")]

    begun = add(partner, catalogue, file=files)

    assert begun.status_code == 202
    assert begun["Location"] == begun.json()["links"]["self"]
    assert begun.json()["state"] == "queued"
    assert begun.json()["counts"]["pending"] == 4
    assert partner.get(begun["Location"])["Retry-After"] == "2"

    work_off()

    done = partner.get(begun["Location"])
    assert "Retry-After" not in done
    body = done.json()
    assert body["state"] == "succeeded"
    assert body["progress"]["percent"] == 100
    counts = {name: count for name, count in body["counts"].items() if count}
    assert counts == {"registered": 2, "duplicate": 1, "failed": 1}
    rows = partner.get(body["links"]["rows"]).json()["results"]
    assert [(row["filename"], row["state"]) for row in rows] == [
        ("one.jpg", "registered"),
        ("two.jpg", "registered"),
        ("again.jpg", "duplicate"),
        ("bad.jpg", "failed"),
    ]
    assert rows[2]["item"] == rows[0]["item"]
    assert [row["code"] for row in rows[:3]] == ["", "", "same_bytes"]
    assert partner.get(rows[0]["item"]).json()["filename"] == "one.jpg"
    assert rows[3]["code"]
    assert rows[3]["message"]
    assert rows[3]["item"] is None
    entry = AuditEntry.objects.get(verb="import.started")
    assert (entry.api_key, entry.organisation, entry.actor) == (cast.partner_key, cast.organisation, None)


def test_rows_come_in_pages_and_by_state(partner: Partner, catalogue: Catalogue) -> None:
    files = [picture(1, "a.jpg"), upload(b"no", "b.jpg"), picture(2, "c.jpg"), upload(b"no", "d.jpg")]
    rows = add(partner, catalogue, file=files).json()["links"]["rows"]
    work_off()

    page = partner.get(f"{rows}?page_size=3").json()
    rest = partner.get(page["next"]).json()

    assert [row["index"] for row in (*page["results"], *rest["results"])] == [0, 1, 2, 3]
    failed = partner.get(f"{rows}?state=failed").json()["results"]
    assert [row["filename"] for row in failed] == ["b.jpg", "d.jpg"]
    refused = partner.get(f"{rows}?state=lost")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["state"])


def test_what_is_said_of_the_pictures_is_kept(partner: Partner, catalogue: Catalogue) -> None:
    metadata = [{"title": "First", "licence": "CC BY 4.0", "source_url": "https://a.example/1"}, {"creator": "B."}]

    add(partner, catalogue, file=[picture(1, "one.jpg"), picture(2, "two.jpg")], metadata=json.dumps(metadata))
    work_off()

    works = {work.title: work for work in Work.objects.all()}
    assert works["First"].licence == "CC BY 4.0"
    assert works["First"].source_url == "https://a.example/1"
    assert works["two"].creator == "B."


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("{", "Not JSON"),
        ("{}", "list"),
        ("[1]", "dictionary"),
        ('[{"title": ["a"]}]', "string"),
        ('[{"colour": "red"}]', "colour"),
        ("[{}, {}]", "2 pictures"),
        ('[{"title": "a\\u0000b"}]', "Null"),
        ("\x00", "Not JSON"),
        ("[" * 100_000, "Not JSON"),
        ('[{"title": "\\ud800"}]', "Surrogate"),
    ],
)
def test_metadata_that_is_wrong_is_refused(
    partner: Partner, catalogue: Catalogue, metadata: str, words: str
) -> None:
    refused = add(partner, catalogue, file=picture(), metadata=metadata)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert words in str(refused.json()["fields"])
    assert all(field.startswith("metadata") for field in refused.json()["fields"])
    assert not CatalogueImport.objects.exists()


@pytest.mark.parametrize(
    "metadata", ['[{"title": "' + "x" * 201 + '"}]', '[{"source_url": "javascript:alert(1)"}]']
)
def test_metadata_that_does_not_fit_is_refused(partner: Partner, catalogue: Catalogue, metadata: str) -> None:
    refused = add(partner, catalogue, file=picture(), metadata=metadata)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert not CatalogueImport.objects.exists()


def test_an_archive_and_a_table_are_taken(partner: Partner, catalogue: Catalogue) -> None:
    archive = upload(zip_of({"in/one.jpg": jpeg(1), "in/two.jpg": jpeg(2)}), "prints.zip")
    table = upload(b"filename,title\none.jpg,The first\n", "titles.csv")

    begun = add(partner, catalogue, file=[archive, table])
    work_off()

    assert partner.get(begun["Location"]).json()["counts"]["registered"] == 2
    assert set(Work.objects.values_list("title", flat=True)) == {"The first", "two"}
    rows = partner.get(begun.json()["links"]["rows"]).json()["results"]
    assert [row["filename"] for row in rows] == ["in/one.jpg", "in/two.jpg"]


def test_metadata_does_not_go_with_an_archive(partner: Partner, catalogue: Catalogue) -> None:
    archive = upload(zip_of({"one.jpg": jpeg(1)}), "prints.zip")

    refused = add(partner, catalogue, file=archive, metadata='[{"title": "One"}]')

    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["metadata"])


def test_a_dry_run_registers_nothing(partner: Partner, catalogue: Catalogue) -> None:
    begun = add(partner, catalogue, file=picture(), dry_run="true")
    work_off()

    body = partner.get(begun["Location"]).json()
    assert body["dry_run"] is True
    assert body["counts"]["valid"] == 1
    assert not Work.objects.exists()
    assert partner.get(body["links"]["rows"]).json()["results"][0]["item"] is None


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "file_missing"),
        ({"file": "text"}, 400, "file_missing"),
        ({"files": [picture()]}, 400, "file_missing"),
        ({"file": picture(), "dry_run": "perhaps"}, 400, "invalid"),
        ({"file": upload(b"PK\x03\x04 cut short", "a.zip")}, 400, "archive_unreadable"),
        ({"file": upload(zip_of({}), "empty.zip")}, 400, "file_missing"),
        ({"file": [upload(zip_of({"a.jpg": jpeg(1)}), "a.zip"), picture()]}, 400, "invalid"),
        ({"file": [picture(), upload(b"title\nwithout names\n", "t.csv")]}, 400, "csv_unreadable"),
        ({"file": [picture(), upload(b"filename,title\n\xff\xfe", "t.csv")]}, 400, "csv_unreadable"),
        ({"file": upload(b"filename\na.jpg\n", "only.csv")}, 400, "file_missing"),
    ],
)
def test_what_cannot_be_imported_is_refused(
    partner: Partner, catalogue: Catalogue, fields: dict[str, Any], status: int, code: str
) -> None:
    for each in fields.values():
        for sent in each if isinstance(each, list) else [each]:
            if hasattr(sent, "seek"):
                sent.seek(0)

    refused = add(partner, catalogue, **fields)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert not CatalogueImport.objects.exists()


def test_limits_on_files_are_held(partner: Partner, catalogue: Catalogue, settings: Settings) -> None:
    settings.IMPORT_MAX_FILES = 10
    too_many = add(partner, catalogue, file=[picture(seed) for seed in range(11)])
    assert (too_many.status_code, too_many.json()["code"]) == (413, "too_many_files")

    settings.IMPORT_MAX_BYTES = 1000
    too_large = add(partner, catalogue, file=picture())
    assert (too_large.status_code, too_large.json()["code"]) == (413, "file_too_large")
    archive = add(partner, catalogue, file=upload(zip_of({"a.jpg": jpeg(1)}), "a.zip"))
    assert (archive.status_code, archive.json()["code"]) == (413, "archive_too_large")


def test_the_quota_is_held(partner: Partner, catalogue: Catalogue, cast: Cast, settings: Settings) -> None:
    cast.organisation.storage_quota_bytes = 1000
    cast.organisation.save()
    settings.IMPORT_MAX_BYTES = 3 * len(jpeg(1)) // 2
    rows = add(partner, catalogue, file=picture(1)).json()["links"]["rows"]

    refused = add(partner, catalogue, file=picture(2))

    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    work_off()
    (row,) = partner.get(rows).json()["results"]
    assert (row["state"], row["code"], row["item"]) == ("failed", "quota_exceeded", None)


def test_an_empty_file_or_one_too_large_is_a_refused_row(
    partner: Partner, catalogue: Catalogue, settings: Settings
) -> None:
    settings.UPLOAD_MAX_BYTES = 100_000
    files = [upload(b"", "empty.jpg"), upload(bytes(100_001), "large.jpg"), picture(1, "good.jpg")]

    rows = add(partner, catalogue, file=files).json()["links"]["rows"]
    work_off()

    codes = {row["filename"]: row["code"] for row in partner.get(rows).json()["results"]}
    assert codes == {"empty.jpg": "file_empty", "large.jpg": "file_too_large", "good.jpg": ""}


@pytest.mark.parametrize("content_type", ["application/json", "image/jpeg", "text/csv"])
def test_other_bodies_than_forms_are_refused(partner: Partner, catalogue: Catalogue, content_type: str) -> None:
    refused = partner.post(f"/catalogues/{catalogue.pk}/items", b"{}", Content_Type=content_type)

    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


def test_what_was_left_when_an_import_was_cancelled_is_told(partner: Partner, catalogue: Catalogue) -> None:
    begun = add(partner, catalogue, file=[picture(1), picture(2)])
    job_cancel(job=CatalogueImport.objects.get().job)

    body = partner.get(begun["Location"]).json()

    assert body["state"] == "cancelled"
    assert body["counts"]["not_done"] == 2
    rows = partner.get(body["links"]["rows"]).json()["results"]
    assert {(row["state"], row["code"]) for row in rows} == {("not_done", "cancelled")}
    only = partner.get(body["links"]["rows"] + "?state=not_done").json()["results"]
    assert len(only) == 2


def test_another_organisation_s_import_is_not_there(
    partner: Partner, stranger: Partner, catalogue: Catalogue
) -> None:
    links = add(partner, catalogue, file=picture()).json()["links"]

    assert stranger.get(links["self"]).status_code == 404
    assert stranger.get(links["rows"]).status_code == 404
    assert partner.get(links["self"]).status_code == 200
