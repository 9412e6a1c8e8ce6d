"""The processes of a running site: started, watched, started again, and ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from webapp.embedded.console import relay, say
from webapp.embedded.waiting import within

# In the environment of every process of a site, so that whatever outlives a killed launcher is found again.
_MARK = "PROVENANCE_LAUNCHED_FOR"
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# A process that ran this long was well: its next failure is a new one.
_WELL_AFTER = 60.0


class Child:
    """One process of the site and all that it starts, in a session of their own (Ctrl-C does not reach it).

    Args:
        name: stands before every line that it prints.
        command: program and arguments.
        data_dir: the site's data folder, by which a later start knows the process again.
        environment: variables beside our own.
        grace: seconds for it to end after it was asked to.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, data_dir: Path, environment: Mapping[str, str], grace: float
    ) -> None:
        self.name = name
        self.failures = 0
        self._command = list(command)
        self._environment = {**os.environ, **environment, _MARK: str(data_dir), "PYTHONUNBUFFERED": "1"}
        self._grace = grace
        self._process: subprocess.Popen[str] | None = None
        self._relay: threading.Thread | None = None
        self._started = 0.0
        self._restart_at: float | None = None

    def start(self) -> None:
        """Start the process."""
        self._restart_at = None
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        self._relay = relay(self._process.stdout, by=self.name)

    def watch(self) -> None:
        """Start the process again when it died: at once after a long life, later and later otherwise."""
        if self._restart_at is not None:
            if time.monotonic() >= self._restart_at:
                self.start()
            return
        status = self.poll()
        if status is None:
            return
        self._signal_group(signal.SIGKILL)
        # Its number may soon be another's.
        self._process = None
        if time.monotonic() - self._started > _WELL_AFTER:
            self.failures = 0
        pause = min(_FIRST_PAUSE * 2**self.failures, _LONGEST_PAUSE)
        self.failures += 1
        self._restart_at = time.monotonic() + pause
        say(f"{self.name} {_ending(status)}; it starts again in {pause:.0f} s.")

    def poll(self) -> int | None:
        """Return its exit status (negative: the signal that ended it), None while it runs or was never started."""
        return self._process.poll() if self._process else None

    def ask_to_end(self) -> None:
        """Ask the process, not those that it started, to finish its work and end."""
        self._restart_at = None
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait_for_end(self) -> None:
        """Wait until it ended, at most its grace; then end it and whatever it started and left."""
        if self._process is None:
            return
        try:
            self._process.wait(self._grace)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {self._grace:.0f} s and is ended now; its work is taken up again.")
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        if self._process is not None:
            self._signal_group(signal.SIGKILL)
            self._process.wait()
        if self._relay is not None:
            # Its last words come before ours.
            self._relay.join(2)

    def _signal_group(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def end_orphans(data_dir: Path, *, grace: float = 10.0) -> int:
    """End what an earlier launcher of this data folder left running; return how many processes there were.

    Raises:
        psutil.AccessDenied: one of them belongs to another user.
    """
    orphans = _orphans(data_dir)
    for process in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    # Those that were told to end may start others until they do.
    if not within(grace, lambda: not _orphans(data_dir), every=0.2):
        for process in _orphans(data_dir):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        within(grace, lambda: not _orphans(data_dir), every=0.2)
    return len(orphans)


def _orphans(data_dir: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(_MARK) == str(data_dir)
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
