"""Slices of an import: handing back, cancelling, resuming, and processes that die in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webapp.catalogues.conftest import finish, import_files, sent, states
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, zip_of
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.catalogues import importer
from webapp.catalogues.imports import import_create, import_resume
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, RowState
from webapp.catalogues.selectors import import_can_resume, import_counts
from webapp.catalogues.services import catalogue_delete, items_delete
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel, job_retry_or_fail
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


# --- Slices, cancelling, resuming ---


@pytest.fixture
def slices_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every slice do one row."""
    monkeypatch.setattr(importer, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(importer, "CHUNK_ROWS", 1)


def test_slices_hand_back(catalogue: Catalogue, slices_of_one: None) -> None:
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(3)], started_by=None
    )
    counts = []
    while not Job.objects.get(pk=made.job_id).is_final:
        execute(str(made.job_id))
        counts.append(Work.objects.count())
    assert counts == [1, 2, 3, 3]
    assert Job.objects.get(pk=made.job_id).claim == 4


def test_cancel_keeps_what_is_done_and_resume_does_the_rest(
    catalogue: Catalogue, cast: Cast, slices_of_one: None
) -> None:
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(4)], started_by=cast.owner
    )
    execute(str(made.job_id))
    execute(str(made.job_id))
    job_cancel(job=made.job)
    made.job.refresh_from_db()
    assert made.job.state == JobState.CANCELLED
    assert import_counts(made) == {"registered": 2, "not_done": 2}
    assert import_can_resume(made)
    done = finish(import_resume(catalogue_import=made, actor=cast.owner))
    assert import_counts(done) == {"registered": 4}
    assert Work.objects.count() == 4
    with pytest.raises(ProductError):
        import_resume(catalogue_import=done, actor=cast.owner)


def test_cancel_is_heard_while_it_runs(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(3)], started_by=None
    )
    monkeypatch.setattr(importer, "CHUNK_ROWS", 1)
    monkeypatch.setattr("webapp.jobs.services._REPORT_EVERY_SECONDS", 0.0)
    original = importer._do_chunk

    def cancel_after_one(*args: Any) -> None:
        original(*args)
        job_cancel(job=made.job)

    monkeypatch.setattr(importer, "_do_chunk", cancel_after_one)
    execute(str(made.job_id))
    made.job.refresh_from_db()
    assert made.job.state == JobState.CANCELLED
    assert import_counts(made) == {"registered": 1, "not_done": 2}


def test_a_running_import_cannot_be_resumed(catalogue: Catalogue, cast: Cast) -> None:
    made = import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    with pytest.raises(ProductError, match="still running"):
        import_resume(catalogue_import=made, actor=cast.owner)


def test_deleting_the_catalogue_stops_the_import(catalogue: Catalogue, cast: Cast, slices_of_one: None) -> None:
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(2)], started_by=None
    )
    execute(str(made.job_id))
    catalogue_delete(catalogue=catalogue, actor=cast.owner)
    made.job.refresh_from_db()
    assert made.job.state == JobState.CANCELLED
    assert Work.objects.live().count() == 0
    with pytest.raises(ProductError, match="has been deleted"):
        import_resume(catalogue_import=made, actor=cast.owner)


def test_an_import_into_a_catalogue_deleted_meanwhile_registers_nothing(
    catalogue: Catalogue, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    original = importer._prepare

    def delete_then_prepare(*args: Any) -> Any:
        Catalogue.objects.filter(pk=catalogue.pk).update(deleted_at=made.created_at)
        return original(*args)

    monkeypatch.setattr(importer, "_prepare", delete_then_prepare)
    execute(str(made.job_id))
    made.job.refresh_from_db()
    assert (made.job.state, made.job.error_code) == (JobState.FAILED, ErrorCode.GONE)
    assert Work.objects.count() == 0


def test_a_lost_upload_is_said(catalogue: Catalogue) -> None:
    made = import_create(catalogue=catalogue, archive=sent("p.zip", zip_of({"a.jpg": jpeg(1)})), started_by=None)
    files.delete(Area.IMPORTS, made.upload_key)
    done = finish(made)
    assert (done.job.state, done.job.error_code) == (JobState.FAILED, ErrorCode.GONE)


# --- Processes that die ---


class Died(BaseException):
    """Stands for the death of a process: nothing catches it."""


def test_a_picture_that_kills_the_process_is_refused_and_the_rest_is_done(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = {jpeg(2), jpeg(5)}
    original = importer.decode
    deaths = 0

    def decode(data: bytes, limits: Any) -> Any:
        nonlocal deaths
        if data in deadly:
            deaths += 1
            raise Died
        return original(data, limits)

    monkeypatch.setattr(importer, "decode", decode)
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(7)], started_by=None
    )
    for _attempt in range(60):
        try:
            execute(str(made.job_id))
        except Died:
            # What jobs_recover does with a job whose lease has passed.
            job_retry_or_fail(job=Job.objects.get(pk=made.job_id), code=ErrorCode.WORKER_LOST, message="lost")
        if Job.objects.get(pk=made.job_id).is_final:
            break
    made = CatalogueImport.objects.select_related("job").get(pk=made.pk)
    assert made.job.state == JobState.SUCCEEDED, made.job.error_message
    assert states(made) == {
        f"{n}.jpg": (RowState.FAILED, ErrorCode.WORKER_LOST) if n in (2, 5) else (RowState.REGISTERED, "")
        for n in range(7)
    }
    assert deaths == 2 * importer.TRIES_IN_ALL - 2
    assert import_can_resume(made)


def test_losses_that_are_nobodys_fault_refuse_nothing(catalogue: Catalogue, cast: Cast) -> None:
    """Two kills at a chunk, for instance by two restarts of the machine, still import every row."""
    made = import_create(
        catalogue=catalogue, files=[sent(f"{n}.jpg", jpeg(n)) for n in range(3)], started_by=None
    )
    made.rows.update(tries=importer.TRIES_TOGETHER)
    assert import_counts(finish(made)) == {"registered": 3}


def test_a_process_that_lost_its_claim_writes_nothing(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    made = import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    original = importer._prepare

    def lose_claim(*args: Any) -> Any:
        Job.objects.filter(pk=made.job_id).update(claim=99)
        return original(*args)

    monkeypatch.setattr(importer, "_prepare", lose_claim)
    execute(str(made.job_id))
    assert Work.objects.count() == CatalogueItem.objects.count() == 0
    assert states(made) == {"a.jpg": (RowState.PENDING, "")}


def test_a_finished_import_that_runs_again_changes_nothing(catalogue: Catalogue) -> None:
    done = import_files(catalogue, {"a.jpg": jpeg(1)})
    Job.objects.filter(pk=done.job_id).update(state=JobState.QUEUED, finished_at=None)
    done = finish(done)
    assert states(done) == {"a.jpg": (RowState.REGISTERED, "")}
    assert Work.objects.count() == 1
    assert AuditEntry.objects.filter(verb="import.finished").count() == 1


def test_what_was_deleted_can_be_imported_again(catalogue: Catalogue, cast: Cast) -> None:
    import_files(catalogue, {"a.jpg": jpeg(1)})
    items_delete(
        catalogue=catalogue, item_ids=CatalogueItem.objects.values_list("pk", flat=True), actor=cast.owner
    )
    assert states(import_files(catalogue, {"a.jpg": jpeg(1)})) == {"a.jpg": (RowState.REGISTERED, "")}
    assert Work.objects.live().count() == 1


def test_many_pictures_do_not_ask_the_database_one_by_one(
    catalogue: Catalogue, django_assert_max_num_queries: Any
) -> None:
    uploads = [sent(f"{n}.jpg", jpeg(n)) for n in range(20)]
    made = import_create(catalogue=catalogue, files=uploads, started_by=None)
    with django_assert_max_num_queries(75):
        execute(str(made.job_id))
    assert Work.objects.count() == 20
