"""The time that nobody has to wait for: that a lease runs out by itself is seen in checks/test_worker_killed.py."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models import F

from webapp.jobs.models import Job, JobState


def lease_runs_out(job_id: uuid.UUID) -> None:
    """Have the lease of a job whose worker was killed be over now."""
    running = Job.objects.filter(pk=job_id, state=JobState.RUNNING)
    running.update(lease_until=F("started_at") - timedelta(seconds=1))
