"""The catalogues' long work."""

from __future__ import annotations

from webapp.catalogues.importer import import_run
from webapp.jobs.models import Job
from webapp.jobs.runner import handles
from webapp.jobs.services import Progress


@handles("import")
def run(job: Job, progress: Progress) -> bool:
    """Do the next slice of an import."""
    return import_run(import_id=job.payload["import"], job=job, progress=progress)
