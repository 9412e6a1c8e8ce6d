"""Pages of imports: the upload, its progress, its results, and what bad uploads get."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from tests.webapp.catalogues.conftest import finish, rows
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, png, zip_of
from webapp.catalogues.models import Catalogue, CatalogueImport, RowState
from webapp.jobs.services import job_cancel
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


# --- Uploading ---


def upload(cast: Cast, catalogue: Catalogue, *files: SimpleUploadedFile, who: str = "owner", **more: Any) -> Any:
    url = reverse("catalogues:upload", args=[catalogue.pk])
    return cast.client(who).post(url, {"mode": "import", "uploads": list(files), **more.pop("form", {})}, **more)


def test_an_upload_becomes_an_import(cast: Cast, catalogue: Catalogue) -> None:
    page = cast.client("owner").get(reverse("catalogues:upload", args=[catalogue.pk]))
    assert page.status_code == 200
    answer = upload(
        cast,
        catalogue,
        SimpleUploadedFile("t.csv", b"filename,title\na.jpg,From the table\n"),
        SimpleUploadedFile("a.jpg", jpeg(1)),
        SimpleUploadedFile("b.png", png(2)),
        who="colleague",
    )
    made = CatalogueImport.objects.get()
    assert answer["Location"] == reverse("catalogues:import", args=[made.pk])
    assert made.started_by == cast.colleague
    waiting = cast.client("viewer").get(answer["Location"])
    assert 'http-equiv="refresh"' in waiting.content.decode()
    cancel = reverse("jobs:cancel", args=[made.job_id])
    assert cancel not in waiting.content.decode()
    assert cancel in cast.client("owner").get(answer["Location"]).content.decode()
    finish(made)
    done = cast.client("viewer").get(answer["Location"]).content.decode()
    assert 'http-equiv="refresh"' not in done
    assert "From the table" in done


def test_an_archive_is_known_by_its_first_bytes(cast: Cast, catalogue: Catalogue) -> None:
    upload(cast, catalogue, SimpleUploadedFile("prints.dat", zip_of({"a.jpg": jpeg(1)})))
    assert finish(CatalogueImport.objects.get()).rows.get().state == RowState.REGISTERED


def test_a_dry_run_and_then_the_button(cast: Cast, catalogue: Catalogue) -> None:
    upload(cast, catalogue, SimpleUploadedFile("a.jpg", jpeg(1)), form={"mode": "dry"})
    made = finish(CatalogueImport.objects.get())
    client = cast.client("owner")
    page = client.get(reverse("catalogues:import", args=[made.pk])).content.decode()
    assert "1 picture would be registered." in page
    assert "Register them now" in page
    assert Work.objects.count() == 0
    client.post(reverse("catalogues:import-run", args=[made.pk]))
    made.refresh_from_db()
    finish(made)
    assert Work.objects.count() == 1
    assert "Register them now" not in client.get(reverse("catalogues:import", args=[made.pk])).content.decode()


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ([], 400, "Choose a ZIP archive or pictures"),
        ([SimpleUploadedFile("a.zip", b"PK\3\4 cut")], 400, "not a ZIP archive"),
        ([SimpleUploadedFile("a.csv", b"filename")], 400, "Choose a ZIP archive or pictures"),
        ([SimpleUploadedFile("a.csv", b"f"), SimpleUploadedFile("b.csv", b"f")], 400, "Send one table"),
        ([SimpleUploadedFile("a.zip", b"x"), SimpleUploadedFile("b.jpg", b"x")], 400, "not both"),
        ([SimpleUploadedFile("a.jpg", b"x"), SimpleUploadedFile("t.csv", b"title\n")], 400, "filename"),
        ([SimpleUploadedFile(f"{n}.jpg", b"x") for n in range(4)], 413, "the limit is 3"),
    ],
)
def test_bad_uploads_are_explained(
    cast: Cast, catalogue: Catalogue, settings: Any, files: list[Any], status: int, words: str
) -> None:
    settings.IMPORT_MAX_FILES = 3
    page = upload(cast, catalogue, *files)
    assert page.status_code == status
    assert words in page.content.decode()
    for file in files:
        file.seek(0)
    problem = upload(cast, catalogue, *files, headers={"Accept": "application/json"})
    assert problem.status_code == status
    assert problem["Content-Type"] == "application/problem+json"
    assert words in problem.json()["detail"]
    assert CatalogueImport.objects.count() == 0


def test_a_bad_mode_is_refused(cast: Cast, catalogue: Catalogue) -> None:
    files = SimpleUploadedFile("a.jpg", jpeg(1))
    assert upload(cast, catalogue, files, form={"mode": "both"}).status_code == 400
    files.seek(0)
    answer = upload(cast, catalogue, files, form={"mode": "both"}, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_a_script_gets_the_address(cast: Cast, catalogue: Catalogue) -> None:
    answer = upload(cast, catalogue, SimpleUploadedFile("a.jpg", jpeg(1)), headers={"Accept": "application/json"})
    assert answer.status_code == 201
    assert answer.json() == {"url": reverse("catalogues:import", args=[CatalogueImport.objects.get().pk])}


# --- Results ---


def test_results_by_state(cast: Cast, filled: CatalogueImport) -> None:
    url = reverse("catalogues:import", args=[filled.pk])
    refused = cast.client("viewer").get(url, {"state": "failed"})
    assert [row.path for row, *_rest in refused.context["results"]] == ["=c.txt"]
    everything = cast.client("viewer").get(url, {"state": "nonsense"})
    assert len(everything.context["results"]) == 3


def test_results_as_a_table(cast: Cast, filled: CatalogueImport) -> None:
    response = cast.client("viewer").get(reverse("catalogues:import-results", args=[filled.pk]))
    assert response["Content-Disposition"].startswith("attachment")
    text = response.content.decode().removeprefix("\N{BYTE ORDER MARK}")
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [line["filename"] for line in lines] == ["a.jpg", "b.png", "'=c.txt"]
    assert [line["state"] for line in lines] == ["Registered", "Registered", "Refused"]
    assert lines[0]["work_url"].endswith(reverse("registry:work", args=[rows(filled)["a.jpg"].work_id]))
    assert lines[0]["sha256"] == Work.objects.get(title="Sea at night").sha256
    assert lines[2]["code"] == "unsupported_media_type"
    assert lines[2]["work_url"] == ""


def test_a_cancelled_import_says_what_was_left_and_offers_the_rest(cast: Cast, catalogue: Catalogue) -> None:
    upload(cast, catalogue, SimpleUploadedFile("a.jpg", jpeg(1)))
    made = CatalogueImport.objects.get()
    client = cast.client("owner")
    url = reverse("catalogues:import", args=[made.pk])
    client.post(reverse("jobs:cancel", args=[made.job_id]), {"next": url})
    page = client.get(url).content.decode()
    assert "Not done" in page
    assert "Do the rest" in page
    assert "cancelled before this one" in page
    assert "Do the rest" not in cast.client("viewer").get(url).content.decode()
    text = client.get(reverse("catalogues:import-results", args=[made.pk])).content.decode()
    assert '"Not done","cancelled"' in text
    client.post(reverse("catalogues:import-resume", args=[made.pk]))
    made.refresh_from_db()
    assert finish(made).rows.get().state == RowState.REGISTERED


def test_an_upload_can_be_discarded(cast: Cast, catalogue: Catalogue) -> None:
    upload(cast, catalogue, SimpleUploadedFile("a.jpg", jpeg(1)))
    made = CatalogueImport.objects.get()
    client = cast.client("owner")
    client.post(reverse("catalogues:import-discard", args=[made.pk]))
    made.refresh_from_db()
    assert made.upload_deleted_at is None, "it was not over yet"
    job_cancel(job=made.job)
    client.post(reverse("catalogues:import-discard", args=[made.pk]))
    made.refresh_from_db()
    assert made.upload_deleted_at is not None
    page = client.get(reverse("catalogues:import", args=[made.pk])).content.decode()
    assert "Do the rest" not in page
    assert "send them again" in page


def test_the_snapshot_of_an_import_is_for_members(cast: Cast, filled: CatalogueImport) -> None:
    url = reverse("jobs:status", args=[filled.job_id])
    for who, status in (("owner", 200), ("viewer", 200), ("outsider", 404), ("anonymous", 404)):
        assert cast.client(who).get(url).status_code == status
    snapshot = json.loads(cast.client("viewer").get(url).content)
    assert snapshot["note"].startswith("2 new, 0 duplicates, 1 refused")
    assert [step["key"] for step in snapshot["steps"]] == ["reading", "pictures"]
