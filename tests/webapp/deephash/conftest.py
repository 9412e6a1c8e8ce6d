"""A catalogue with pictures, and deep hashes small enough to train in a test."""

from __future__ import annotations

import pytest
import torch
from django.utils import timezone

from provenance.models.autoencoder_nets import Architecture, Autoencoder
from provenance.training import deephash_pictures
from provenance.training.deephash import save_weights
from tests.webapp.catalogues.conftest import catalogue, import_files
from tests.webapp.pictures import png
from webapp.catalogues.models import Catalogue
from webapp.deephash import training, views
from webapp.deephash.models import TrainedModel
from webapp.deephash.storage import Part, path_of
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_create

__all__ = ["catalogue"]


@pytest.fixture
def pictures(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with three pictures."""
    import_files(catalogue, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    return catalogue


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a training one of a few steps of a tiny net on few pictures."""
    monkeypatch.setattr(training, "STEPS", 6)
    monkeypatch.setattr(training, "SCALE", 0.05)
    for module in (deephash_pictures, training, views):
        monkeypatch.setattr(module, "LEAST_PICTURES", 3)


def finish(job: Job) -> Job:
    """Do a job to its end."""
    for _slice in range(100):
        execute(str(job.pk))
        job.refresh_from_db()
        if job.is_final:
            return job
    raise AssertionError("the job does not end")


def trained(catalogue: Catalogue) -> TrainedModel:
    """Return a model of 64 bits as a training leaves it: a net of chance, and a curve as if it had learnt."""
    job = job_create(
        kind=training.TRAINING, steps=[("learning", "")], payload={}, organisation=catalogue.organisation
    )
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=timezone.now())
    model = TrainedModel.objects.create(
        organisation=catalogue.organisation,
        catalogue=catalogue,
        job=job,
        pictures=3,
        curve=[0] * 16 + [1000] * 49,
        trained_at=timezone.now(),
    )
    torch.manual_seed(0)
    save_weights(Autoencoder(Architecture("con-vae", 64, scale=0.05)), path_of(model.pk, Part.WEIGHTS))
    return model
