"""One launcher for a data folder: who it is, and that there is no second."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

# One write of a fixed length replaces the other, so that a reader never meets half of one.
_RECORD_BYTES = 512


@dataclass(frozen=True)
class Holder:
    """The launcher that runs: its process id, and the site's address ("" until it serves)."""

    pid: int
    url: str


class LauncherLock:
    """A file that a running launcher keeps locked. The kernel frees the lock of a killed one."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "launcher.json"
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take the lock; return False where another launcher has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self.tell("")
        return True

    def tell(self, url: str) -> None:
        """Write down the site's address for whoever comes second."""
        if self._descriptor is None:
            raise ValueError("the lock is not taken")
        record = json.dumps({"pid": os.getpid(), "url": url}).encode()
        os.pwrite(self._descriptor, record.ljust(_RECORD_BYTES), 0)

    def let_go(self) -> None:
        """Let another launcher have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> Holder | None:
        """Return who has the lock, None where nobody has."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            record = json.loads(os.pread(descriptor, _RECORD_BYTES, 0))
            return Holder(record["pid"], record["url"])
        finally:
            os.close(descriptor)
        return None
