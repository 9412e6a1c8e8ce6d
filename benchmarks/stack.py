"""A whole site of its own for a benchmark: PostgreSQL, worker and server in a throw-away folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Site:
    """A running site: its address, its data folder, and every line that its launcher printed."""

    url: str
    home: Path
    lines: list[str] = field(default_factory=list)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def site(home: Path | None = None, **environment: str) -> Iterator[Site]:
    """Start the site as ``make up`` does, on a free port, and stop it as Ctrl-C does.

    Raises:
        RuntimeError: it ended before it served; the message has what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="provenance-bench-") as folder:
        os.chmod(folder, 0o755)  # The database's user must be able to enter.
        data = home or Path(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "webapp.embedded", "up"],
            cwd=ROOT,
            env={**os.environ, "PROVENANCE_HOME": str(data), "SITE_PORT": str(free_port()), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running = Site("", data)
        served = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                running.lines.append(line.rstrip())
                found = re.search(r"Open (http://\S+)", line)
                if found:
                    running.url = found.group(1).rstrip("/")
                    served.set()
            served.set()

        threading.Thread(target=read, daemon=True).start()
        try:
            if not served.wait(300) or not running.url:
                raise RuntimeError("the site did not start:\n" + "\n".join(running.lines))
            yield running
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
