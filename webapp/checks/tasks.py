"""What the worker does for checks."""

from __future__ import annotations

from webapp.checks.run import check_run
from webapp.checks.services import JOB_KIND
from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress


@handles(JOB_KIND)
def run(job: Job, progress: Progress) -> bool:
    """Do the check that the job names."""
    return check_run(check_id=job.payload["check"], job=job, progress=progress)
