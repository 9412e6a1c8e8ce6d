"""A catalogue with pictures, and deep hashes small enough to train in a test."""

from __future__ import annotations

import pytest

from tests.webapp.catalogues.conftest import catalogue, import_files
from tests.webapp.pictures import png
from webapp.catalogues.models import Catalogue
from webapp.deephash import services
from webapp.jobs.models import Job
from webapp.jobs.runner import execute

__all__ = ["catalogue"]


@pytest.fixture
def pictures(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with three pictures."""
    import_files(catalogue, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    return catalogue


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a training one of a few steps of a tiny net on few pictures."""
    monkeypatch.setattr(services, "STEPS", 6)
    monkeypatch.setattr(services, "SCALE", 0.05)
    monkeypatch.setattr("provenance.training.deephash.LEAST_PICTURES", 3)


def finish(job: Job) -> Job:
    """Do a job to its end."""
    for _slice in range(100):
        execute(str(job.pk))
        job.refresh_from_db()
        if job.is_final:
            return job
    raise AssertionError("the job does not end")
