"""One generation inside a job: it reports, shows previews, keeps checkpoints, and makes room for others."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.db import transaction

from provenance.images.decode import encode_jpeg
from webapp import files
from webapp.artworks.sealing import SealBroken
from webapp.artworks.storage import Part, delete_working_files, key_of, preview_key
from webapp.artworks.vault import keys_forget, seal_for_job, unseal_for_job
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress

if TYPE_CHECKING:
    from provenance.artwork.generator import Iteration

log = logging.getLogger(__name__)

PREVIEWS = 20
Made = TypeVar("Made")


class SliceOver(Exception):
    """Enough for now: the job goes to the end of the queue, and on from its checkpoint when its turn comes again."""


class Studio:
    """Stands beside a generation and is called after each of its iterations."""

    def __init__(self, *, job: Job, progress: Progress, step: str, previews: bool = True) -> None:
        """Stand ready.

        Args:
            step: of the job, in which the iterations are counted.
            previews: whether there is somebody to whom the picture on its way may be shown.
        """
        self._job = job
        self._progress = progress
        self._step = step
        self._previews = previews
        self._began = self._saved = time.monotonic()
        self._calls = 0

    def make(self, generation: Callable[[Callable[[Iteration], None], bytes | None], Made]) -> Made:
        """Run a generation from its last checkpoint, where there is one; return what it makes.

        The checkpoint stays until the job ends or :meth:`forget` is called, for what was made is not kept yet.

        Args:
            generation: takes what to call after each iteration, and a checkpoint.

        Raises:
            SliceOver: it is not done, and its checkpoint is kept.
            JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
        """
        from provenance.artwork.generator import CheckpointError

        take_share_of_processors()
        try:
            return generation(self._after, self._checkpoint())
        except CheckpointError:
            # Of other secrets, or damaged: what it saved is lost, the work is not.
            log.warning("job %s begins anew: its checkpoint could not be used", self._job.pk)
            return generation(self._after, None)

    def forget(self) -> None:
        """Remove the checkpoint, once what was made is kept: the job's next picture is another."""
        files.delete(Area.ARTWORKS, key_of(self._job.pk, Part.CHECKPOINT))

    def _checkpoint(self) -> bytes | None:
        try:
            return unseal_for_job(files.read(Area.ARTWORKS, key_of(self._job.pk, Part.CHECKPOINT)), self._job.pk)
        except FileNotFoundError:
            return None
        except SealBroken:
            log.warning("the checkpoint of job %s cannot be opened", self._job.pk)
            return None

    def _after(self, iteration: Iteration) -> None:
        self._calls += 1
        if self._calls == 1 and iteration.number > 1:
            log.info("job %s goes on with iteration %d", self._job.pk, iteration.number)
        every = preview_every(iteration.total)
        if self._previews and (self._calls == 1 or iteration.number % every == 0):
            files.write(Area.DERIVED, preview_key(self._job.pk), encode_jpeg(iteration.preview()), durable=False)
        # The sign of a loss would be read as a dash.
        note = f"loss {iteration.loss:.3f}".replace("-", "−")
        self._progress(self._step, iteration.number, iteration.total, note)
        now = time.monotonic()
        over = now - self._began >= settings.ARTWORK_SLICE_SECONDS
        if iteration.number < iteration.total and (over or now - self._saved >= settings.ARTWORK_CHECKPOINT_SECONDS):
            sealed = seal_for_job(iteration.checkpoint(), self._job.pk)
            files.write(Area.ARTWORKS, key_of(self._job.pk, Part.CHECKPOINT), sealed)
            self._saved = time.monotonic()
            if over:
                raise SliceOver


def preview_every(total: int) -> int:
    """Return after how many iterations a new preview is there."""
    return max(1, total // PREVIEWS)


def ending(job_id: uuid.UUID) -> None:
    """Remove what a job that ended leaves: its keys with it, its working files once that is sure."""
    keys_forget(job_id)
    transaction.on_commit(lambda: delete_working_files(job_id))
