"""Kill -9 of a real worker in the middle of a generation: another goes on, and the picture is the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.db import connection, transaction

from provenance.artwork import recipe as recipes
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Preset, Recipe
from tests.webapp.artworks.conftest import FILE, PROMPT, Request, signature
from tests.webapp.conftest import Cast
from tests.webapp.jobs.leases import lease_runs_out
from webapp import files
from webapp.artworks.models import Artwork, ArtworkSecret, Proof
from webapp.artworks.proofs import proof_create
from webapp.artworks.storage import Part, key_of, png, preview_key
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 120.0
# Long enough to be killed in.
LONG = Preset(side=64, iterations=40, crops=4)


@dataclass(frozen=True)
class Scene:
    """A job, and the worker processes that do it in turn, all of which write into one log."""

    job_id: uuid.UUID
    log: Path

    @property
    def checkpoint(self) -> Path:
        return files.path_of(Area.ARTWORKS, key_of(self.job_id, Part.CHECKPOINT))

    @property
    def preview(self) -> Path:
        return files.path_of(Area.DERIVED, preview_key(self.job_id))

    def job(self) -> Job:
        return Job.objects.get(pk=self.job_id)

    @contextmanager
    def worker(self, *, checkpoint_seconds: int = 0) -> Iterator[Callable[[Callable[[], Any]], None]]:
        """Run a worker; yield what waits until something holds. At the end it is killed with all its processes."""
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_DATABASE": str(connection.settings_dict["NAME"]),
            "TEST_MEDIA": str(site.MEDIA_ROOT),
            "ARTWORK_CHECKPOINT_SECONDS": str(checkpoint_seconds),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=site.BASE_DIR,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def wait_until(holds: Callable[[], Any]) -> None:
            end = time.monotonic() + PATIENCE
            while not holds():
                assert process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.02)

        try:
            yield wait_until
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill_before_the_first_checkpoint(self) -> None:
        with self.worker(checkpoint_seconds=300) as wait_until:
            wait_until(self.preview.exists)
        self.be_lost()
        assert not self.checkpoint.exists()

    def kill_after_two_checkpoints(self) -> None:
        seen: set[bytes] = set()

        def saved_twice() -> bool:
            if self.checkpoint.exists():
                seen.add(self.checkpoint.read_bytes())
            return len(seen) >= 2

        with self.worker() as wait_until:
            wait_until(saved_twice)
        self.be_lost()

    def kill_while_results_are_written(self, table: str, *written: Path) -> None:
        """Kill a worker that has written these files and stands before that table, which is held meanwhile."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
            with self.worker() as wait_until:
                wait_until(lambda: all(path.exists() for path in written))
        self.be_lost()
        assert self.checkpoint.exists()

    def be_lost(self) -> None:
        """See that the killed worker was not done; the next one need not wait for its lease."""
        assert not self.job().is_final
        lease_runs_out(self.job_id)

    def finish(self) -> None:
        """Let the next worker end the job, and see that nothing of the keys is left."""
        with self.worker() as wait_until:
            wait_until(lambda: self.job().is_final)
            # They go right after the end is committed.
            wait_until(lambda: not (self.checkpoint.exists() or self.preview.exists()))
        job = self.job()
        assert job.state == JobState.SUCCEEDED, job.error_message
        assert (job.claim, job.failures) == (3, 2)
        assert not ArtworkSecret.objects.exists()

    def said(self) -> str:
        text = self.log.read_text()
        assert PROMPT not in text
        assert FILE.decode() not in text
        return text


def stored(area: Area) -> set[Path]:
    return {path for path in (Path(site.MEDIA_ROOT) / area).rglob("*") if path.is_file()}


def test_kill_9_changes_nothing(
    requested: Request, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.PRESETS, "draft", LONG)
    artwork = requested()
    expected = generate(Recipe.from_json(artwork.recipe), PROMPT, signature().key)
    record = files.path_of(Area.ARTWORKS, key_of(artwork.pk, Part.RECORD))

    generation = Scene(artwork.job_id, tmp_path / "generation.log")
    generation.kill_before_the_first_checkpoint()
    generation.kill_while_results_are_written("registry_fingerprint", record)
    assert not Work.objects.exists()
    generation.finish()
    assert f"goes on with iteration {LONG.iterations}" in generation.said(), "more than the last was made anew"

    artwork = Artwork.objects.get()
    assert (artwork.pixel_sha256, artwork.latent_sha256) == (expected.pixel_sha256, expected.latent_sha256)
    work = Work.objects.get()
    assert artwork.work == work
    picture = files.read(Area.WORKS, work.sha256)
    assert picture == png(expected.pixels)
    assert stored(Area.ARTWORKS) == {record}

    proof = proof_create(artwork=artwork, prompt=PROMPT, signature=signature(), prover=cast.owner)
    made, difference = (
        files.path_of(Area.ARTWORKS, key_of(proof.pk, part)) for part in (Part.MADE, Part.DIFFERENCE)
    )
    regeneration = Scene(proof.job_id, tmp_path / "proof.log")
    regeneration.kill_after_two_checkpoints()
    regeneration.kill_while_results_are_written("artworks_proof", made, difference)
    regeneration.finish()
    went_on = [int(one) for one in re.findall(r"goes on with iteration (\d+)", regeneration.said())]
    assert len(went_on) == 2
    assert 2 < went_on[0] < went_on[1] == LONG.iterations

    proof = Proof.objects.get()
    assert (proof.verdict, proof.latent_equal, proof.redecoded) == ("identical", True, True)
    assert made.read_bytes() == picture
    assert stored(Area.ARTWORKS) == {record, made, difference}
    assert Work.objects.count() == Artwork.objects.count() == 1
    assert Job.objects.count() == 2
