"""Stopping whoever reads a file, where it can be killed for certain in the middle of its work."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Self

_SECONDS = 120.0


class HeldFile:
    """A pipe where a file was: whoever reads it stands still until the end of the ``with`` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = path.with_name(f"{path.name}.kept")
        self._end: int | None = None

    def __enter__(self) -> Self:
        self._path.rename(self._kept)
        os.mkfifo(self._path)
        return self

    def wait(self) -> None:
        """Wait until somebody reads."""
        deadline = time.monotonic() + _SECONDS
        while self._end is None:
            assert time.monotonic() < deadline, f"nobody reads {self._path}"
            try:
                # It opens only where there is a reader (fifo(7)).
                self._end = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as problem:
                if problem.errno != errno.ENXIO:
                    raise
                time.sleep(0.01)

    def put_back(self) -> None:
        """Let the next reader have the file; the one that waits goes on waiting."""
        self._kept.replace(self._path)

    def __exit__(self, *_problem: object) -> None:
        if self._kept.exists():
            self.put_back()
        if self._end is not None:
            os.close(self._end)
