"""Reading jobs, and who may."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.jobs.models import Job, JobState

Viewer = User | AnonymousUser


def job_get(*, job_id: uuid.UUID | str, user: Viewer, visitor_digest: str) -> tuple[Job, bool]:
    """Return a job and whether this person may cancel it.

    Raises:
        Http404: there is no such job, or it is not theirs to watch.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise Http404
    owns = bool(
        (user.is_authenticated and (job.owner_id == user.pk or user.is_superuser))
        or (job.visitor_digest and job.visitor_digest == visitor_digest)
    )
    if not owns and user.is_authenticated and job.organisation_id:
        owns = job.organisation.memberships.filter(user=user).exclude(role="viewer").exists()  # type: ignore[union-attr]
        if not owns and job.organisation.memberships.filter(user=user).exists():  # type: ignore[union-attr]
            return job, False
    if not owns and not job.watched_by_link:
        raise Http404
    return job, owns


def job_snapshot(job: Job) -> dict[str, Any]:
    """Return what a watcher needs to draw the job: the same JSON over the socket and by polling."""
    keys = [key for key, _label in job.steps]
    now_at = keys.index(job.step) if job.step in keys else -1

    def state_of(index: int) -> str:
        if job.state == JobState.SUCCEEDED or index < now_at:
            return "done"
        if index == now_at:
            return {JobState.FAILED: "failed", JobState.CANCELLED: "cancelled"}.get(JobState(job.state), "current")
        return "waiting"

    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    return {
        "id": str(job.pk),
        "kind": job.kind,
        "state": job.state,
        "state_label": str(JobState(job.state).label),
        "final": job.is_final,
        "seq": job.seq,
        "percent": round(100 * job.fraction),
        "step": job.step,
        "steps": [
            {"key": key, "label": _(label), "state": state_of(index)} for index, (key, label) in enumerate(job.steps)
        ],
        "done": job.done,
        "total": job.total,
        "note": job.note,
        "seconds_left": job.seconds_left,
        "cancel_requested": job.cancel_requested,
        "error": error,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
