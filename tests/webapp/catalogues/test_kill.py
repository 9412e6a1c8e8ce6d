"""Kill -9 of a real worker in the middle of an import: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.db import connection

from provenance.hashing.hasher import HASHERS
from tests.webapp.catalogues.conftest import rows, sent
from tests.webapp.jobs.leases import lease_runs_out
from tests.webapp.pictures import jpeg, zip_of
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue, CatalogueItem, RowState
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.registry.models import Fingerprint, Work

pytestmark = pytest.mark.django_db(transaction=True)

# Imported in chunks of 32: three kills leave some of them pending.
PICTURES = 110
PATIENCE = 120.0


@contextmanager
def worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with all its processes in a group of their own, which is killed at the end."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "TEST_MEDIA": str(site.MEDIA_ROOT),
        "TEST_PRIVATE": str(site.PRIVATE_DIR),
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=site.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(holds: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def test_kill_9_in_the_middle_loses_and_duplicates_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    members = {f"{n:03}.jpg": jpeg(n) for n in range(PICTURES)}
    members["again.jpg"], members["text.txt"] = jpeg(0), b"no picture"
    made = import_create(catalogue=catalogue, archive=sent("p.zip", zip_of(members)), started_by=None)
    log = tmp_path / "worker.log"

    def works() -> int:
        return Work.objects.count()

    def done() -> int:
        return made.rows.exclude(state=RowState.PENDING).count()

    def tried() -> int:
        return sum(made.rows.values_list("tries", flat=True))

    # Killed as soon as there are more of them: right after works appear, after rows are done, and before either,
    # while pictures are being decoded.
    signs: list[Callable[[], int]] = [works, done, tried]
    for sign in signs:
        before = sign()
        with worker(log) as process:
            wait_until(lambda: sign() > before, process, log)  # noqa: B023
        assert not Job.objects.get(pk=made.job_id).is_final
        assert made.rows.filter(state=RowState.PENDING).exists(), "the import was over before the kill"
        lease_runs_out(made.job_id)
    with worker(log) as process:
        wait_until(lambda: Job.objects.get(pk=made.job_id).is_final, process, log)

    job = Job.objects.get(pk=made.job_id)
    assert job.state == JobState.SUCCEEDED, job.error_message
    assert job.claim > len(signs)
    found = rows(made)
    assert len(found) == made.rows.count() == PICTURES + 2
    assert Counter(row.state for row in found.values()) == {
        RowState.REGISTERED: PICTURES,
        RowState.DUPLICATE: 1,
        RowState.FAILED: 1,
    }
    assert Work.objects.count() == CatalogueItem.objects.count() == PICTURES
    assert len(set(Work.objects.values_list("sha256", flat=True))) == PICTURES
    assert {row.work_id for row in found.values() if row.state == RowState.REGISTERED} == set(
        Work.objects.values_list("pk", flat=True)
    )
    assert Fingerprint.objects.count() == len(HASHERS) * PICTURES
    for path, row in found.items():
        if row.state == RowState.REGISTERED:
            assert files.read(Area.WORKS, row.sha256) == members[path]
    assert AuditEntry.objects.filter(verb="import.finished").count() == 1
