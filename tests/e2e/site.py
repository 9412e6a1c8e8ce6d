"""The whole site as people start it: one launcher in a home of its own, and what it printed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email import message_from_binary_file, policy
from pathlib import Path

import psutil

from webapp.embedded.waiting import within

ROOT = Path(__file__).resolve().parents[2]


class Site:
    """A running site.

    Attributes:
        url: where it serves, without a slash at the end.
        home: its data folder.
        owner: e-mail address and password of the demo organisation's owner, as the first start prints them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lines: list[str] = []
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            port = trial.getsockname()[1]
        # The tests' own settings are not the site's.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO")}
        environment |= {"DJANGO_SETTINGS_MODULE": "tests.e2e.settings", "PROVENANCE_HOME": str(home)}
        environment |= {"SITE_PORT": str(port), "WORKERS": "1", "OMP_NUM_THREADS": "1"}
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
        self.url = self._says(r"Open (http://\S+)")[1]
        login = self._says(r"Demo log-in: (\S+), password (\S+)")
        self.owner = (login[1], login[2])

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def _says(self, pattern: str) -> re.Match[str]:
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found[:] = [match for line in list(self.lines) if (match := re.search(pattern, line))]
            over = self.process.poll() is not None or any("Open http" in line for line in self.lines)
            return bool(found) or over

        within(180, seen)
        if not found:
            self.stop()
            raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))
        return found[0]

    @contextlib.contextmanager
    def worker_suspended(self) -> Iterator[None]:
        """Hold the worker, so that what is sent meanwhile waits. It must be for less than a job's lease."""
        worker = next(
            child for child in psutil.Process(self.process.pid).children() if child.cmdline()[-1:] == ["worker"]
        )
        processes = [worker, *worker.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def mail_to(self, address: str) -> str:
        """Return the text of the newest message to an address; messages are files of the site."""
        found: list[tuple[float, str]] = []

        def arrived() -> bool:
            for path in (self.home / "mail").iterdir():
                with path.open("rb") as file:
                    message = message_from_binary_file(file, policy=policy.default)
                if address in str(message["To"]):
                    body = message.get_body(("plain",))
                    assert body is not None
                    found.append((path.stat().st_mtime, body.get_content()))
            return bool(found)

        assert within(10, arrived), f"no mail to {address}"
        return max(found)[1]

    def stop(self) -> int:
        """End it as Ctrl-C does and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = self.process.wait(90)
        self._reader.join(10)
        return status
