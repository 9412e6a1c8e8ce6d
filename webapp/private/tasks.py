"""What the worker does for private catalogues."""

from __future__ import annotations

from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress
from webapp.private import content, relaying, services


@handles(services.KEYS)
def make_keys(job: Job, progress: Progress) -> bool:
    """Do the site's part while keyholders make a catalogue's keys."""
    return services.keys_run(private_id=job.payload["private"], job=job, progress=progress)


@handles(content.OFFER)
def offer(job: Job, progress: Progress) -> bool:
    """Have keyholders check a catalogue's new content."""
    return content.offer_run(private_id=job.payload["private"], job=job, progress=progress)


@handles(relaying.RELAY)
def relay(job: Job, progress: Progress) -> bool:
    """Take a question that its client encrypted to the keyholders."""
    return relaying.relay_run(question_id=job.payload["question"], progress=progress)
