"""Waiting for something outside this process."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], bool], *, every: float = 0.05) -> bool:
    """Ask again and again until it holds, at most so long; return whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
