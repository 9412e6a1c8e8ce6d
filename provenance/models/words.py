"""How the shipped text tower takes a text apart, without the tower itself and what that needs."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from safetensors import safe_open

MAX_WORDS = 48
_WORD = re.compile(r"[a-z0-9]+")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, at most :data:`MAX_WORDS`."""
    return _WORD.findall(text.lower())[:MAX_WORDS]


@lru_cache(maxsize=2)
def vocabulary(file: Path) -> frozenset[str]:
    """Return the words that the tower in a weight file was taught. Reads the file's head only."""
    with safe_open(file, "np") as handle:
        return frozenset(json.loads(handle.metadata()["vocabulary"]))
