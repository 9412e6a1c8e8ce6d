"""What the worker does for artworks."""

from __future__ import annotations

from webapp.artworks import proofs, services, trials
from webapp.artworks.run import artwork_run
from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress


@handles(services.JOB_KIND)
def generate(job: Job, progress: Progress) -> bool:
    """Do the next slice of generating an artwork."""
    return artwork_run(artwork_id=job.payload["artwork"], job=job, progress=progress)


@handles(proofs.JOB_KIND)
def prove(job: Job, progress: Progress) -> bool:
    """Do the next slice of making a work again."""
    return proofs.proof_run(proof_id=job.payload["proof"], job=job, progress=progress)


@handles(trials.JOB_KIND)
def alter(job: Job, progress: Progress) -> bool:
    """Do the next slice of a trial."""
    return trials.trial_run(trial_id=job.payload["trial"], job=job, progress=progress)
