"""Kill -9 of a real worker in the middle of a generation: another goes on, and the picture is the same."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as site
from django.db import connection
from PIL import Image

from provenance.artwork import recipe as recipes
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Preset, Recipe
from tests.webapp.artworks.conftest import FILE, PROMPT, Request, signature
from tests.webapp.conftest import Cast
from webapp import files
from webapp.artworks.models import Artwork, ArtworkSecret, Proof
from webapp.artworks.proofs import proof_create
from webapp.artworks.storage import Part, key_of, preview_key
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 120.0
# Long enough to be killed in, with checkpoints after every iteration.
LONG = Preset(side=96, iterations=40, crops=4)


@contextmanager
def worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with all its processes in a group of their own, which is killed at the end."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "TEST_MEDIA": str(site.MEDIA_ROOT),
        "JOB_LEASE_SECONDS": "2",
        "ARTWORK_CHECKPOINT_SECONDS": "0",
        "OMP_NUM_THREADS": "1",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=site.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(holds: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.005)


def killed_twice_and_finished(job_id: Any, log: Path) -> Job:
    """Kill a worker as its first preview appears, another after two more checkpoints; let a third end the job."""
    checkpoint = files.path_of(Area.ARTWORKS, key_of(job_id, Part.CHECKPOINT))
    preview = files.path_of(Area.DERIVED, preview_key(job_id))
    with worker(log) as process:
        wait_until(preview.exists, process, log)
    assert not Job.objects.get(pk=job_id).is_final
    seen = [checkpoint.read_bytes() if checkpoint.exists() else b""]

    def went_on() -> bool:
        if checkpoint.exists() and (now := checkpoint.read_bytes()) != seen[-1]:
            seen.append(now)
        return len(seen) > 2

    with worker(log) as process:
        wait_until(went_on, process, log)
    assert not Job.objects.get(pk=job_id).is_final, "the job was over before the kill"
    with worker(log) as process:
        wait_until(lambda: Job.objects.get(pk=job_id).is_final, process, log)
    job = Job.objects.get(pk=job_id)
    assert job.state == JobState.SUCCEEDED, job.error_message
    assert job.claim == 3
    assert "goes on with iteration" in log.read_text(), "it began anew"
    assert not ArtworkSecret.objects.exists()
    assert not checkpoint.exists()
    assert not preview.exists()
    said = log.read_text()
    assert PROMPT not in said
    assert FILE.decode() not in said
    return job


def test_kill_9_in_the_middle_changes_nothing(
    requested: Request, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.PRESETS, "draft", LONG)
    artwork = requested()
    expected = generate(Recipe.from_json(artwork.recipe), PROMPT, signature().key)

    killed_twice_and_finished(artwork.job_id, tmp_path / "generation.log")

    artwork = Artwork.objects.get(pk=artwork.pk)
    assert (artwork.pixel_sha256, artwork.latent_sha256) == (expected.pixel_sha256, expected.latent_sha256)
    work = Work.objects.get()
    assert artwork.work == work
    with Image.open(io.BytesIO(files.read(Area.WORKS, work.sha256))) as picture:
        assert np.array_equal(np.asarray(picture), expected.pixels)

    proof = proof_create(artwork=artwork, prompt=PROMPT, signature=signature(), prover=cast.owner)
    killed_twice_and_finished(proof.job_id, tmp_path / "proof.log")
    assert Proof.objects.get().verdict == "identical"
