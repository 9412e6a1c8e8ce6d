"""What the worker does for signatures."""

from __future__ import annotations

from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress
from webapp.signatures.services import SIGNING, signing_run


@handles(SIGNING)
def sign(job: Job, progress: Progress) -> bool:
    """Make the signed copy of a work."""
    return signing_run(code_id=job.payload["code"], job=job, progress=progress)
