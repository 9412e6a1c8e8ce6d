"""A real worker, killed without warning in the middle of a check, and another that takes over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from django.conf import settings
from django.db import connection, transaction

from tests.webapp.checks.conftest import Register, Submit, edited
from webapp.checks.models import Check, Verdict
from webapp.checks.storage import has_renditions
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute

pytestmark = pytest.mark.django_db(transaction=True)

_SECONDS = 60
Start = Callable[[], subprocess.Popen[bytes]]


def within(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker with all its children at once, as a machine that goes down does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_SECONDS)
    assert within(lambda: not any(_is_of(other, process.pid) for other in psutil.process_iter()))


def _is_of(other: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(other.pid) == group and other.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Start]:
    """Return what starts ``manage.py worker`` on this test's database and files, with a short lease."""
    database = {name: quote(str(value), safe="") for name, value in connection.settings_dict.items()}
    credentials = f"{database['USER']}:{database['PASSWORD']}" if database["PASSWORD"] else database["USER"]
    host = f"{database['HOST']}:{database['PORT']}" if database["PORT"] else database["HOST"]
    address = f"postgresql://{credentials}@{host}/{database['NAME']}"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "DATABASE_URL": address,
        "SECRET_KEY": settings.SECRET_KEY,
        "ALLOWED_HOSTS": "localhost",
        "PROVENANCE_HOME": str(tmp_path),
        "JOB_LEASE_SECONDS": "2",
        "WORKERS": "1",
    }
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"]
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        kill(process)


def said(check: Check) -> list[tuple[object, ...]]:
    return list(
        check.evidence.order_by("kind", "ordinal").values_list(
            "kind", "ordinal", "outcome", "summary", "data", "work", "version"
        )
    )


def test_a_check_whose_worker_is_killed_is_done_by_the_next_and_says_everything_once(
    register: Register, submit: Submit, start_worker: Start
) -> None:
    register("calla")
    register("bridge")
    undisturbed = submit(edited("calla", "screenshot"))
    execute(str(undisturbed.job_id))
    check = submit(edited("calla", "screenshot"))
    job = check.job

    # The worker stops at the search for as long as this transaction holds the table: its evidence of the steps
    # before is committed, the rest is not.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE registry_descriptor IN ACCESS EXCLUSIVE MODE")
        first = start_worker()

        def stands_in_the_middle() -> bool:
            job.refresh_from_db()
            return job.step == "candidates" and check.evidence.count() == 2

        assert within(stands_in_the_middle)
        kill(first)
    job.refresh_from_db()
    assert (job.state, job.claim) == (JobState.RUNNING, 1), "nobody could say goodbye"

    start_worker()

    def is_over() -> bool:
        job.refresh_from_db()
        return job.is_final

    assert within(is_over)
    assert (job.state, job.claim, job.failures) == (JobState.SUCCEEDED, 2, 1)
    check.refresh_from_db()
    assert check.verdict == Verdict.REGISTERED
    undisturbed.refresh_from_db()
    assert check.explanation == undisturbed.explanation
    assert said(check) == said(undisturbed)
    assert has_renditions(check.pk, 0)


def test_a_check_that_kills_every_worker_fails_with_a_reason(submit: Submit, start_worker: Start) -> None:
    """A picture that brings down whatever opens it must not go round for ever."""
    check = submit(edited("calla", "screenshot"))
    Job.objects.filter(pk=check.job_id).update(failures=check.job.max_failures - 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE registry_descriptor IN ACCESS EXCLUSIVE MODE")
        worker = start_worker()
        assert within(lambda: Job.objects.get(pk=check.job_id).step == "candidates")
        kill(worker)
    start_worker()
    assert within(lambda: Job.objects.get(pk=check.job_id).is_final)
    job = Job.objects.get(pk=check.job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "worker_lost")
    assert "try again" in job.error_message
