"""The files of a check: the upload, and the renditions that the worker makes of it to be looked at.

A file belongs to one check, whose id is in its key, so that deleting one never takes another's picture away.
"""

from __future__ import annotations

import re
import time
import uuid
from enum import StrEnum
from pathlib import Path

from django.conf import settings

from webapp import files as store
from webapp.checks.models import Check
from webapp.files import Area

_UPLOAD = re.compile(r"[0-9a-f]{64}-(?P<check>[0-9a-f]{32})")
_RENDITION = re.compile(r"(?P<check>[0-9a-f]{32})-check_[a-z0-9_]+\.jpg")


class Rendition(StrEnum):
    """Pictures of a verified pair, all in the frame of the registered picture reduced."""

    REFERENCE = "reference"
    QUERY = "query"
    DIFFERENCE = "difference"


def upload_key(*, sha256: str, check_id: uuid.UUID) -> str:
    """Return the key in the area ``checks`` of an upload with that digest."""
    return f"{sha256}-{check_id.hex}"


def preview_key(check_id: uuid.UUID) -> str:
    """Return the key in the area ``derived`` of the picture as it was decoded, reduced."""
    return f"{check_id.hex}-check_picture.jpg"


def rendition_key(check_id: uuid.UUID, ordinal: int, rendition: Rendition) -> str:
    """Return the key in the area ``derived`` of a rendition of the check's pair with that ordinal."""
    return f"{check_id.hex}-check_pair{ordinal}_{rendition}.jpg"


def heat_key(check_id: uuid.UUID) -> str:
    """Return the key in the area ``derived`` of the picture that shows which parts speak for AI."""
    return f"{check_id.hex}-check_heat.jpg"


def has_heat(check_id: uuid.UUID) -> bool:
    """Return whether that picture is there; costs a look at the disk."""
    return store.path_of(Area.DERIVED, heat_key(check_id)).exists()


def has_renditions(check_id: uuid.UUID, ordinal: int) -> bool:
    """Return whether all renditions of that pair are there; costs three looks at the disk."""
    return all(store.path_of(Area.DERIVED, rendition_key(check_id, ordinal, one)).exists() for one in Rendition)


def delete_files(check: Check) -> None:
    """Remove the upload and all renditions; what is gone already is fine."""
    store.delete(Area.CHECKS, check.file_key)
    folder = store.path_of(Area.DERIVED, preview_key(check.pk)).parent
    for path in folder.glob(f"{check.pk.hex}-check_*"):
        path.unlink(missing_ok=True)


def sweep() -> int:
    """Remove files older than the retention time that no check counts as its own; return how many.

    A process killed between writing a file and committing its row leaves one.
    """
    before = time.time() - settings.CHECK_RETENTION_HOURS * 3600
    stale: list[tuple[Path, uuid.UUID | None]] = []
    for area, pattern, name in ((Area.CHECKS, "*/*", _UPLOAD), (Area.DERIVED, "*/*-check_*", _RENDITION)):
        for path in (Path(settings.MEDIA_ROOT) / area).glob(pattern):
            try:
                old = path.stat().st_mtime < before
            except FileNotFoundError:
                continue
            if old:
                found = name.fullmatch(path.name)
                stale.append((path, uuid.UUID(found["check"]) if found else None))
    ids = {check_id for _path, check_id in stale if check_id}
    kept = set(Check.objects.filter(pk__in=ids, file_deleted_at=None).values_list("pk", flat=True))
    gone = [path for path, check_id in stale if check_id not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)
