"""Doing a job: the worker's only entry, and the functions that know how each kind is done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import (
    ClaimLost,
    JobCancelled,
    Progress,
    job_claim,
    job_fail,
    job_hand_back,
    job_renew,
    job_retry_or_fail,
    job_stop_cancelled,
    job_succeed,
)

log = logging.getLogger(__name__)

# A handler does the work of one kind of job and returns whether it is finished; one that is not is queued again.
Handler = Callable[[Job, Progress], bool]
HANDLERS: dict[str, Handler] = {}


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Name the function that does the jobs of this kind."""

    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register


def execute(job_id: str) -> None:
    """Do a queued job to its end, or to where it hands itself back. The worker's only entry."""
    job = job_claim(job_id=job_id)
    if job is None:
        return
    progress = Progress(job)
    try:
        with _Lease(job):
            finished = HANDLERS[job.kind](job, progress)
            progress.finish()
        if finished:
            job_succeed(job=job)
        else:
            job_hand_back(job=job)
    except ClaimLost:
        log.warning("job %s was taken over while it ran here", job.pk)
    except JobCancelled:
        _end_quietly(lambda: job_stop_cancelled(job=job))
    except ProductError as error:
        refusal = error
        _end_quietly(lambda: job_fail(job=job, code=refusal.code, message=str(refusal.message)))
    except Exception:
        log.exception("job %s (%s) failed", job.pk, job.kind)
        _end_quietly(
            lambda: job_retry_or_fail(
                job=job,
                code=ErrorCode.INTERNAL,
                message=_("Something went wrong on our side, more than once. We have been told; try again later."),
            )
        )


def _end_quietly(end: Callable[[], None]) -> None:
    try:
        end()
    except ClaimLost:
        log.warning("a job ended here after it was taken over elsewhere")


class _Lease(AbstractContextManager[None]):
    """Renews a job's lease from a thread while the work runs, since some steps report rarely."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="job-lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _renew(self) -> None:
        try:
            while not self._stop.wait(settings.JOB_LEASE_SECONDS / 3):
                job_renew(job=self._job)
        except ClaimLost:
            return
        finally:
            connection.close()
