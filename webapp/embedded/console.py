"""What people read while the site runs: one line at a time, each with the name of who says it."""

from __future__ import annotations

import os
import sys
import threading
from typing import IO

_WIDTH = 8
_lock = threading.Lock()


def say(line: str, *, by: str = "site") -> None:
    """Print a line with its speaker's name before it. When nobody reads any more the site goes on unheard."""
    with _lock:
        try:
            sys.stdout.write(f"{by:<{_WIDTH}}| {line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, sys.stdout.fileno())
            os.close(silence)


def relay(stream: IO[str], *, by: str) -> threading.Thread:
    """Say every line of a process's output, in a thread that ends with the output."""

    def copy() -> None:
        for line in stream:
            say(line.rstrip("\n"), by=by)

    thread = threading.Thread(target=copy, name=f"relay-{by}", daemon=True)
    thread.start()
    return thread
