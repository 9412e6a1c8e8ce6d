"""``make up`` from its first line to its last: what it prints, what it survives, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.webapp.embedded.conftest import open_folder
from webapp.embedded import postgres
from webapp.embedded.children import _orphans
from webapp.embedded.waiting import within

ROOT = Path(__file__).resolve().parents[3]


class Site:
    """A launcher started as ``make up`` starts it, and every line that it prints."""

    def __init__(self, home: Path, *, port: int) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO")}
        environment |= {"PROVENANCE_HOME": str(home), "SITE_PORT": str(port), "WORKERS": "1"}
        self.home = home
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webapp.embedded", "up"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def says(self, text: str, *, seconds: float = 120) -> str:
        """Wait for a line with that text and return it."""
        found: list[str] = []

        def seen() -> bool:
            found[:] = [line for line in self.lines if text in line]
            return bool(found) or self.process.poll() is not None

        within(seconds, seen)
        assert found, f"no line with {text!r} in:\n" + "\n".join(self.lines)
        return found[0]

    def up(self) -> str:
        """Wait until it serves and return its address."""
        return self.says("Open http").partition("Open ")[2]

    def child(self, program: str) -> psutil.Process:
        """Return the process that the launcher itself started for that program."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if program in " ".join(child.cmdline()))

    def end(self, *numbers: signal.Signals) -> int:
        """Send the signals and return the exit status."""
        for number in numbers:
            self.process.send_signal(number)
        status = self.process.wait(90)
        self._reader.join(10)
        return status

    def leftovers(self) -> list[psutil.Process]:
        """Return what still runs of it."""
        return _orphans(self.home)


def answer(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)


def answers_again(url: str) -> bool:
    try:
        return answer(url)["status"] == "ok"
    except OSError:
        return False


@contextmanager
def launching(folder: Path) -> Iterator[Callable[..., Site]]:
    """Launch sites of one data folder; whatever a failed test leaves is ended."""
    sites = []

    def start(port: int = 0) -> Site:
        if port == 0:
            with socket.socket() as trial:
                trial.bind(("127.0.0.1", 0))
                port = trial.getsockname()[1]
        sites.append(Site(folder, port=port))
        return sites[-1]

    yield start
    for site in sites:
        site.process.kill()
        site.process.wait()
    for process in _orphans(folder):
        process.kill()


@pytest.fixture
def launch(empty_dir: Path) -> Iterator[Callable[..., Site]]:
    """Launch sites of a folder in which there is nothing yet."""
    with launching(empty_dir) as start:
        yield start


@pytest.fixture(scope="module")
def kept_dir() -> Iterator[Path]:
    """A data folder that the first test fills: filling it again for the second would take as long."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def launch_kept(kept_dir: Path) -> Iterator[Callable[..., Site]]:
    """Launch sites of the folder that is kept."""
    with launching(kept_dir) as start:
        yield start


@pytest.mark.xdist_group("launcher")
def test_from_nothing_to_serving_and_back_to_nothing(launch_kept, kept_dir):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        site = launch_kept(taken)
        url = site.up()
    assert f"Port {taken} is taken" in site.says("is taken")
    assert url != f"http://127.0.0.1:{taken}"
    assert answer(f"{url}/healthz")["status"] == "ok"
    assert answer(f"{url}/readyz")["database"] == "ok"
    assert site.says("check   |")
    assert [line for line in site.lines if "FAILED" in line or "Traceback" in line] == [], "\n".join(site.lines)

    second = launch_kept()
    assert second.process.wait(60) == 1
    assert f"is up already at {url}" in second.says("is up already")

    assert site.end(signal.SIGINT) == 0
    assert site.lines[-1] == "site    | Stopped."
    assert site.leftovers() == []
    assert postgres.status(kept_dir).pid is None
    with pytest.raises(OSError, match="refused"):
        answer(f"{url}/healthz")


@pytest.mark.xdist_group("launcher")
def test_it_survives_what_is_killed_around_it(launch_kept, kept_dir):
    first = launch_kept()
    url = first.up()
    first.child("worker").kill()
    assert "starts again" in first.says("worker was ended by SIGKILL")
    first.child("uvicorn").kill()
    assert "starts again" in first.says("web was ended by SIGKILL")
    assert within(60, lambda: answers_again(f"{url}/readyz"))
    database = postgres.status(kept_dir).pid
    os.kill(database, signal.SIGKILL)
    first.says("PostgreSQL is gone")
    assert within(60, lambda: answers_again(f"{url}/readyz"))

    first.process.kill()
    first.process.wait()
    assert first.leftovers() != []
    assert answer(f"{url}/healthz")["status"] == "ok"

    again = launch_kept()
    assert "an earlier start had left running" in again.says("Ended")
    url = again.up()
    assert answer(f"{url}/readyz")["status"] == "ok"
    assert again.end(signal.SIGTERM) == 0
    assert again.leftovers() == []
    assert postgres.status(kept_dir).pid is None


def test_told_to_stop_while_it_starts(launch, empty_dir):
    site = launch()
    site.says("PostgreSQL is up")
    assert site.end(signal.SIGINT) == 0
    assert site.leftovers() == []
    assert postgres.status(empty_dir).pid is None


def test_told_twice_it_stops_at_once(launch, empty_dir):
    site = launch()
    site.says("PostgreSQL is up")
    site.process.send_signal(signal.SIGINT)
    site.says("Stopping on SIGINT")
    assert site.end(signal.SIGINT) == 0
    assert site.leftovers() == []
    assert postgres.status(empty_dir).pid is None


def test_make_stop_ends_it_from_another_terminal(launch, empty_dir):
    site = launch()
    site.says("PostgreSQL is up")
    command = [sys.executable, "-m", "webapp.embedded", "stop"]
    environment = {**os.environ, "PROVENANCE_HOME": str(empty_dir), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
    stopped = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert stopped.returncode == 0
    assert "Stopped." in stopped.stdout
    assert site.process.wait(10) == 0
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert "Nothing was running." in again.stdout


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SITE_PORT", "many", "SITE_PORT must be a whole number from 1 to 65535"),
        ("DEBUG", "perhaps", "DEBUG must be true or false"),
        ("DATABASE_URL", "mysql://h/p", "DATABASE_URL must be like postgresql://"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(empty_dir, variable, value, words):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "webapp.settings", "PROVENANCE_HOME": str(empty_dir)}
    environment[variable] = value
    refused = subprocess.run(
        [sys.executable, "-m", "webapp.embedded", "up"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert postgres.status(empty_dir).pid is None
