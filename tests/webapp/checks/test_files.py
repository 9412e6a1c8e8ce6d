"""How long uploads are kept, and that they go with everything made from them."""

from __future__ import annotations

import os
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from tests.webapp.checks.conftest import Register, Submit, edited, sample
from tests.webapp.conftest import Cast
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.checks.models import Check, Verdict
from webapp.checks.services import check_delete, expire_files
from webapp.checks.storage import has_renditions, preview_key, rendition_key, upload_key
from webapp.files import Area
from webapp.jobs.management.commands import worker
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute

pytestmark = pytest.mark.django_db


def files_of(check: Check) -> list[Path]:
    """Return every stored file that has the check's id in its name."""
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if check.pk.hex in path.name]


def make_old(path: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_an_upload_is_kept_as_long_as_is_said_and_no_longer(register: Register, check_now: Submit) -> None:
    register("calla")
    check = check_now(edited("calla", "screenshot"))
    promised = check.expires_at - check.created_at
    assert abs(promised - timedelta(hours=settings.CHECK_RETENTION_HOURS)) < timedelta(seconds=5)
    assert len(files_of(check)) == 5, "the upload, its preview, three renditions"
    assert expire_files() == 0

    Check.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert expire_files() == 1
    assert files_of(check) == []
    check.refresh_from_db()
    assert check.file_deleted_at is not None
    assert check.verdict == Verdict.REGISTERED, "the verdict stays"
    assert check.evidence.exists()
    assert expire_files() == 0, "it is done once"


def test_the_worker_does_it_every_minute() -> None:
    assert expire_files in worker.HOUSEKEEPING


def test_another_check_of_the_same_picture_keeps_its_file(check_now: Submit) -> None:
    first, second = check_now(sample("calla")), check_now(sample("calla"))
    Check.objects.filter(pk=first.pk).update(expires_at=timezone.now())
    expire_files()
    assert files_of(first) == []
    assert files.read(Area.CHECKS, second.file_key) == sample("calla")


def test_deleting_takes_every_file_and_leaves_the_verdict(cast: Cast, register: Register, check_now: Submit) -> None:
    register("calla")
    check = check_now(edited("calla", "screenshot"))
    check_delete(check=check, actor=cast.owner)
    assert files_of(check) == []
    assert not has_renditions(check.pk, 0)
    check.refresh_from_db()
    assert check.verdict == Verdict.REGISTERED
    check_delete(check=check, actor=cast.owner)
    assert AuditEntry.objects.filter(verb="check.upload_deleted").count() == 1, "a second time changes nothing"


def test_deleting_the_upload_of_a_waiting_check_cancels_it(submit: Submit) -> None:
    check = submit(sample("calla"))
    check_delete(check=check)
    assert Job.objects.get(pk=check.job_id).state == JobState.CANCELLED
    execute(str(check.job_id))
    check.refresh_from_db()
    assert not check.verdict
    assert files_of(check) == []


def test_deleting_during_the_check_asks_it_to_stop(submit: Submit) -> None:
    check = submit(sample("calla"))
    Job.objects.filter(pk=check.job_id).update(state=JobState.RUNNING, lease_until=timezone.now())
    check_delete(check=check)
    job = Job.objects.get(pk=check.job_id)
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)


def test_files_that_no_row_knows_are_swept_when_they_are_old(check_now: Submit) -> None:
    """A process killed between a file and its row leaves one; so does one killed while it wrote."""
    kept = check_now(sample("calla"))
    own = files_of(kept)
    for path in own:
        make_old(path, settings.CHECK_RETENTION_HOURS + 2)
    stranger, young = uuid.uuid4(), uuid.uuid4()
    orphans = [
        files.write(Area.CHECKS, upload_key(sha256="a" * 64, check_id=stranger), b"upload"),
        files.write(Area.DERIVED, preview_key(stranger), b"preview"),
        files.write(Area.DERIVED, rendition_key(stranger, 3, "query"), b"rendition"),  # type: ignore[arg-type]
    ]
    half = orphans[0].with_name(".writing-abc")
    half.write_bytes(b"half")
    works_own = files.write(Area.DERIVED, f"{'b' * 64}-thumb.jpg", b"of a work")
    for path in (*orphans, half, works_own):
        make_old(path, settings.CHECK_RETENTION_HOURS + 2)
    fresh = files.write(Area.CHECKS, upload_key(sha256="c" * 64, check_id=young), b"being submitted now")

    expire_files()
    assert not any(path.exists() for path in (*orphans, half))
    assert works_own.exists(), "copies of works are not ours to sweep"
    assert fresh.exists()
    assert len(own) >= 2
    assert set(files_of(kept)) == set(own)


def test_expiry_that_cannot_commit_promises_too_little_not_too_much(
    check_now: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file goes before the commit: a crash between the two is made good a minute later."""
    check = check_now(sample("calla"))
    Check.objects.update(expires_at=timezone.now())

    def fail(*_arguments: Any, **_named: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Check, "save", fail)
        with pytest.raises(RuntimeError):
            expire_files()
    assert files_of(check) == []
    assert expire_files() == 1
    check.refresh_from_db()
    assert check.file_deleted_at is not None
