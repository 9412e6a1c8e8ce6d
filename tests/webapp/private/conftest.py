"""Two keyholders as processes of their own, with the toy parameters, and private catalogues that they answer for.

Where no Python has OpenFHE these tests are skipped and say why.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.private_lookup import engine_setup
from provenance.private_lookup.errors import EngineUnavailable
from provenance.private_lookup.identity import Identity
from tests.webapp.catalogues.conftest import catalogue, sent
from tests.webapp.conftest import Cast
from webapp.catalogues.models import Catalogue
from webapp.embedded.waiting import within
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.private import feature
from webapp.private.intake import Taken, pictures_take
from webapp.private.meeting import KEYHOLDERS, is_alive
from webapp.private.models import HeldBy, PrivateCatalogue
from webapp.private.services import Terms, private_begin

__all__ = ["catalogue"]

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent


class Keyholders:
    """The processes, by name."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one, as the launcher does, and wait until it lives."""
        command = [sys.executable, "-m", "webapp.embedded.keyholder", name, str(self.place)]
        self.running[name] = subprocess.Popen(command, cwd=ROOT)
        assert within(60, lambda: is_alive(self.place, name))

    def kill(self, name: str) -> None:
        """End one as kill -9 does."""
        self.running[name].kill()
        self.running[name].wait()


@pytest.fixture(scope="session")
def keyholders() -> Iterator[Keyholders]:
    try:
        os.environ.setdefault("PROVENANCE_OPENFHE", str(engine_setup.set_up()))
    except EngineUnavailable as problem:
        pytest.skip(str(problem))
    # An earlier test of this process may have looked before OpenFHE was there.
    feature._found = None
    with tempfile.TemporaryDirectory(prefix="keyholders-") as place:
        made = Keyholders(Path(place))
        for name in KEYHOLDERS:
            made.start(name)
        yield made
        for name in KEYHOLDERS:
            made.kill(name)


@pytest.fixture
def place(keyholders: Keyholders, settings: object) -> Keyholders:
    """Have the site meet these keyholders, whom an earlier test may have left killed."""
    settings.PRIVATE_DIR = keyholders.place  # type: ignore[attr-defined]
    for name, process in keyholders.running.items():
        if process.poll() is not None:
            keyholders.start(name)
    return keyholders


def finish(job: Job | None) -> Job:
    """Do a job to its end."""
    assert job is not None
    for _slice in range(20):
        execute(str(job.pk))
        job.refresh_from_db()
        if job.is_final:
            return job
    raise AssertionError("the job does not end")


def begin(cast: Cast, catalogue: Catalogue, **terms: object) -> PrivateCatalogue:
    """Make a catalogue private, with its keys; by default the site's worker encrypts 256 bits."""
    holder = terms.pop("holder", None)
    chosen = {
        "held_by": HeldBy.SITE,
        "algorithm": "pdq-v1",
        "tau": 32,
        "who_allowed": True,
        "planned_entries": 100,
        **terms,
    }
    assert holder is None or isinstance(holder, Identity)
    private = private_begin(
        catalogue=catalogue,
        terms=Terms(**chosen),  # type: ignore[arg-type]
        holder=holder.public if holder else None,
        actor=cast.owner,
    )
    finish(private.job)
    private.refresh_from_db()
    return private


def fill(cast: Cast, private: PrivateCatalogue, files: dict[str, bytes], **options: bool) -> Taken:
    """Have the trusted worker take pictures, and the keyholders check the content."""
    taken = pictures_take(
        private=private, uploads=[sent(name, data) for name, data in files.items()], actor=cast.owner, **options
    )
    private.refresh_from_db()
    if private.offered is not None:
        finish(private.job)
        private.refresh_from_db()
    return taken


@pytest.hookimpl(tryfirst=True)  # Before xdist reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what uses the same keyholders in one process."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("private_site"))
