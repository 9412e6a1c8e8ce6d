"""What happens to a job: made, claimed, moved on, finished, cancelled, recovered.

Every write by a worker is fenced by its claim: a process whose lease ran out changes nothing any more.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.models import Organisation, User
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import FINAL_STATES, Job, JobState
from webapp.jobs.queue import enqueue, is_empty

log = logging.getLogger(__name__)

_REPORT_EVERY_SECONDS = 0.2


# Apps add what must go when a job is over, however it ended: called in the transaction in which it ends.
ENDINGS: list[Callable[[uuid.UUID], None]] = []


class JobCancelled(Exception):
    """Somebody asked for the job to stop, and it has come to a place where it can."""


class ClaimLost(Exception):
    """The lease ran out and the work may be somebody else's now: stop without writing."""


def group_of(job_id: uuid.UUID | str) -> str:
    """Return the name of the channel group that hears of this job."""
    return f"job.{uuid.UUID(str(job_id)).hex}"


def announce(job_id: uuid.UUID) -> None:
    """Nudge whoever watches the job, once the present transaction is committed. A nudge that fails costs nothing."""

    def send() -> None:
        try:
            async_to_sync(channel_layers["default"].group_send)(group_of(job_id), {"type": "job.changed"})
        except (OSError, TimeoutError) as error:
            log.warning("a nudge was lost: %s", type(error).__name__)

    transaction.on_commit(send)


def job_create(
    *,
    kind: str,
    steps: Sequence[tuple[str, Any]],
    payload: dict[str, Any],
    owner: User | None = None,
    organisation: Organisation | None = None,
    visitor_digest: str = "",
    watched_by_link: bool = False,
) -> Job:
    """Make a queued job and its queue message, in the caller's transaction.

    Args:
        steps: key and (lazily translated) label of each step, in order.
    """
    job = Job(
        kind=kind,
        payload=payload,
        steps=[[key, str(label)] for key, label in steps],
        owner=owner,
        organisation=organisation,
        visitor_digest=visitor_digest,
        watched_by_link=watched_by_link,
    )
    job.full_clean()
    job.save()
    enqueue(job.pk)
    return job


def job_claim(*, job_id: uuid.UUID | str) -> Job | None:
    """Take a queued job for this process; None when it is not there to be taken."""
    with transaction.atomic():
        job = Job.objects.select_for_update(skip_locked=True).filter(pk=job_id, state=JobState.QUEUED).first()
        if job is None:
            return None
        now = timezone.now()
        job.state = JobState.RUNNING
        job.claim += 1
        job.seq += 1
        job.lease_until = now + timedelta(seconds=settings.JOB_LEASE_SECONDS)
        job.started_at = job.started_at or now
        job.updated_at = now
        job.save(update_fields=("state", "claim", "seq", "lease_until", "started_at", "updated_at"))
        announce(job.pk)
    return job


def job_renew(*, job: Job) -> None:
    """Lengthen the lease of a claimed job.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
    if not _claimed(job).update(lease_until=until):
        raise ClaimLost


class Progress:
    """What long work calls to say how far it is. It writes the row and is told there when to stop."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._step = ""
        self._since = time.monotonic()
        self._reported = 0.0

    def __call__(self, step: str, done: int = 0, total: int = 0, note: str = "") -> None:
        """Report the step, and within it ``done`` of ``total``. Reports that follow quickly are left out.

        Raises:
            JobCancelled: somebody asked for the work to stop.
            ClaimLost: the claim is not ours any more.
        """
        now = time.monotonic()
        if step == self._step and done < total and now - self._reported < _REPORT_EVERY_SECONDS:
            return
        self._count_time(now)
        self._step, self._reported = step, now
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE jobs_job SET step = %s, done = %s, total = %s, note = %s, timings = %s, seq = seq + 1,"
                " updated_at = now(), lease_until = now() + make_interval(secs => %s)"
                " WHERE id = %s AND claim = %s AND state = 'running' RETURNING cancel_requested",
                [
                    step,
                    done,
                    total,
                    note[:200],
                    json.dumps(self._job.timings),
                    settings.JOB_LEASE_SECONDS,
                    self._job.pk,
                    self._job.claim,
                ],
            )
            row = cursor.fetchone()
            announce(self._job.pk)
        if row is None:
            raise ClaimLost
        if row[0]:
            raise JobCancelled

    def _count_time(self, now: float) -> None:
        if self._step:
            spent = self._job.timings.get(self._step, 0.0) + now - self._since
            self._job.timings[self._step] = round(spent, 4)
        self._since = now

    def finish(self) -> None:
        """Count the time of the last step into the job's timings, which are saved when the job ends."""
        self._count_time(time.monotonic())

    def check(self) -> None:
        """Raise as a report would, without making one."""
        row = Job.objects.filter(pk=self._job.pk).values_list("claim", "state", "cancel_requested").first()
        if row is None or row[0] != self._job.claim or row[1] != JobState.RUNNING:
            raise ClaimLost
        if row[2]:
            raise JobCancelled


def hold_claim(*, job: Job) -> None:
    """Lock the job's row to the end of the present transaction, so that what is written beside it is fenced.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    held = Job.objects.select_for_update().filter(pk=job.pk, claim=job.claim, state=JobState.RUNNING)
    if not held.exists():
        raise ClaimLost


def job_succeed(*, job: Job) -> None:
    """Finish a claimed job.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    _finish(job, JobState.SUCCEEDED)


def job_fail(*, job: Job, code: ErrorCode, message: str) -> None:
    """Finish a claimed job with a reason that its owner can act on.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    _finish(job, JobState.FAILED, error_code=str(code), error_message=message[:500])


def job_stop_cancelled(*, job: Job) -> None:
    """Finish a claimed job because its owner wished so.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    _finish(job, JobState.CANCELLED, error_code=str(ErrorCode.CANCELLED), error_message=_("Cancelled."))


def job_hand_back(*, job: Job) -> None:
    """Put a claimed job at the end of the queue: more is to be done, and others wait too. Past failures are forgiven.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    with transaction.atomic():
        now = timezone.now()
        if not _claimed(job).update(
            state=JobState.QUEUED,
            lease_until=None,
            failures=0,
            enqueued_at=now,
            updated_at=now,
            timings=job.timings,
        ):
            raise ClaimLost
        enqueue(job.pk)


def job_retry_or_fail(*, job: Job, code: ErrorCode, message: str) -> None:
    """Count a failure that is not the job's own fault: queue it again, or fail it when that happened too often.

    Raises:
        ClaimLost: the claim is not ours any more.
    """
    if job.failures + 1 >= job.max_failures:
        job_fail(job=job, code=code, message=message)
        return
    with transaction.atomic():
        now = timezone.now()
        if not _claimed(job).update(
            state=JobState.QUEUED,
            lease_until=None,
            failures=F("failures") + 1,
            seq=F("seq") + 1,
            enqueued_at=now,
            updated_at=now,
        ):
            raise ClaimLost
        enqueue(job.pk)
        announce(job.pk)


def job_cancel(*, job: Job) -> Job:
    """Ask a job to stop: at once while it waits, at its next report while it runs.

    Raises:
        ProductError: it is over already.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.is_final:
            raise ProductError(ErrorCode.CONFLICT, _("This is over already; there is nothing to cancel."), status=409)
        job.cancel_requested = True
        job.seq += 1
        job.updated_at = timezone.now()
        at_once = job.state == JobState.QUEUED
        if at_once:
            job.state = JobState.CANCELLED
            job.finished_at = job.updated_at
            job.error_code, job.error_message = str(ErrorCode.CANCELLED), _("Cancelled.")
        job.save()
        if at_once:
            _tell_of_end(job.pk)
        announce(job.pk)
    return job


def jobs_recover() -> int:
    """Queue again what no process works on any more; fail what was lost too often. Return how many were found.

    Two kinds of work are lost: running jobs whose lease has passed, and queued jobs whose queue message is gone
    (a process took the message and died before it claimed the job).
    """
    found = 0
    now = timezone.now()
    lost = Job.objects.filter(state=JobState.RUNNING, lease_until__lt=now).values_list("pk", flat=True)
    for job_id in list(lost):
        with transaction.atomic():
            job = (
                Job.objects.select_for_update(skip_locked=True)
                .filter(pk=job_id, state=JobState.RUNNING, lease_until__lt=now)
                .first()
            )
            if job is None:
                continue
            found += 1
            log.warning("job %s (%s) lost its worker, claim %d", job.pk, job.kind, job.claim)
            job_retry_or_fail(
                job=job,
                code=ErrorCode.WORKER_LOST,
                message=_("The program that did this work was stopped each time. Please try again."),
            )
    if is_empty():
        stale = now - timedelta(seconds=2 * settings.JOB_LEASE_SECONDS)
        for job_id in list(
            Job.objects.filter(state=JobState.QUEUED, enqueued_at__lt=stale).values_list("pk", flat=True)
        ):
            with transaction.atomic():
                if Job.objects.filter(pk=job_id, state=JobState.QUEUED, enqueued_at__lt=stale).update(
                    enqueued_at=timezone.now()
                ):
                    found += 1
                    enqueue(job_id)
    return found


def _claimed(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, claim=job.claim, state=JobState.RUNNING)


def _finish(job: Job, state: JobState, **fields: Any) -> None:
    assert state in FINAL_STATES
    with transaction.atomic():
        now = timezone.now()
        if not _claimed(job).update(
            state=state,
            finished_at=now,
            updated_at=now,
            lease_until=None,
            timings=job.timings,
            seq=F("seq") + 1,
            **fields,
        ):
            raise ClaimLost
        _tell_of_end(job.pk)
        announce(job.pk)


def _tell_of_end(job_id: uuid.UUID) -> None:
    for ending in ENDINGS:
        ending(job_id)
