"""What the worker does for deep hashes."""

from __future__ import annotations

from webapp.deephash import services, training
from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress


@handles(services.HASHING)
def give_codes(job: Job, progress: Progress) -> bool:
    """Give the next pictures of a catalogue their codes."""
    return services.hashing_run(choice_id=job.payload["choice"], job=job, progress=progress)


@handles(training.TRAINING)
def train(job: Job, progress: Progress) -> bool:
    """Do the next slice of a training."""
    return training.training_run(model_id=job.payload["model"], job=job, progress=progress)
