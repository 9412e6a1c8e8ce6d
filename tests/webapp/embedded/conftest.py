"""Data folders of their own, whose servers never outlive the test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from webapp.embedded import postgres
from webapp.embedded.places import place_of


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the server's user can enter, which pytest's own temporary folder is not for root's."""
    folder = Path(tempfile.mkdtemp(prefix="provenance-embedded-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        place = place_of(folder)
        postgres.stop(folder, timeout=5)
        for path in (folder, place.folder, place.socket):
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A data folder in which there is no server yet."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def initialised() -> Iterator[Path]:
    """A data folder to copy: making one anew for each test takes a second."""
    with open_folder() as folder:
        postgres.ensure_running(folder)
        postgres.stop(folder)
        yield folder


@pytest.fixture
def data_dir(initialised: Path) -> Iterator[Path]:
    """A data folder with a server that is not running."""
    with open_folder() as folder:
        subprocess.run(["cp", "-a", initialised / "postgres", folder], check=True)
        yield folder
