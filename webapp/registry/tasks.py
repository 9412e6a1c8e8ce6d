"""The registry's long work."""

from __future__ import annotations

from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress
from webapp.registry.recall import KIND, audits_run
from webapp.registry.rehash import rehash_run


@handles("rehash")
def run(job: Job, progress: Progress) -> bool:
    """Hash the next works under an algorithm that came after them."""
    return rehash_run(algorithm=job.payload["algorithm"], job=job, progress=progress)


@handles(KIND)
def audit(job: Job, progress: Progress) -> bool:
    """Ask this process's indexes for works that are there."""
    audits_run(progress)
    return True
