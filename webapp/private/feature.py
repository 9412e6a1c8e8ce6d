"""Whether private catalogues can be had here, and why not where they cannot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from provenance.private_lookup import engine_setup
from provenance.private_lookup.errors import EngineUnavailable
from webapp.errors import ErrorCode, ProductError
from webapp.private.meeting import KEYHOLDERS, is_alive
from webapp.private.storage import place

_LOOK_AGAIN_SECONDS = 60.0
_found: tuple[float, Path | None, str] | None = None


@dataclass(frozen=True)
class Feature:
    """Attributes:
    on: whether it can be used now.
    reason: a sentence that says what to do; empty where it is on.
    """

    on: bool
    reason: str = ""


def feature() -> Feature:
    """Return whether private catalogues can be made and asked here, now."""
    if not settings.PRIVATE_LOOKUP:
        return Feature(False, _("Private catalogues are turned off here: PRIVATE_LOOKUP is False."))
    python, problem = _engine()
    if python is None:
        return Feature(False, problem)
    away = [name for name in KEYHOLDERS if not is_alive(place(), name)]
    if away:
        sentence = _("Keyholders that do not run: %(names)s. “make up” starts them; where it runs, start it again.")
        return Feature(False, sentence % {"names": ", ".join(away)})
    return Feature(True)


def require_feature() -> None:
    """Refuse where it is off.

    Raises:
        ProductError: with the reason (503).
    """
    found = feature()
    if not found.on:
        raise ProductError(ErrorCode.PRIVATE_UNAVAILABLE, found.reason, status=503, retry_after=60)


def _engine() -> tuple[Path | None, str]:
    """Return the engine's interpreter, or why there is none. Looking takes a second, so it is not done each time."""
    global _found
    if _found is None or (_found[1] is None and time.monotonic() - _found[0] > _LOOK_AGAIN_SECONDS):
        try:
            _found = time.monotonic(), engine_setup.find(), ""
        except EngineUnavailable as problem:
            _found = time.monotonic(), None, str(problem)
    return _found[1], _found[2]
