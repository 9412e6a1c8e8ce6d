"""The files of artworks, each under the id of what it belongs to.

In the area ``artworks``: the record of a work (recipe and codes), the pictures of proofs and trials, and the
checkpoints of generations under way, which are sealed. In the area ``derived``: the preview of a generation. The PNG
of a work is the registry's, in the area ``works``.
"""

from __future__ import annotations

import io
import re
import time
import uuid
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from django.conf import settings
from PIL import Image

from webapp import files
from webapp.artworks.models import Artwork, Proof, Trial
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job

RGB = npt.NDArray[np.uint8]
_ORPHAN_SECONDS = 3600.0
_OURS = re.compile(r"(?P<id>[0-9a-f]{32})-(?P<part>[a-z_]+)(\.[a-z]+)?")


class Part(StrEnum):
    """What a file is of the artwork, proof, trial or job whose id it bears."""

    RECORD = "record.json"
    MADE = "made.png"
    DIFFERENCE = "difference.png"
    FIRST = "first.png"
    SECOND = "second.png"
    CHECKPOINT = "checkpoint"


def key_of(owner_id: uuid.UUID, part: Part) -> str:
    """Return the key of a file in the area ``artworks``."""
    return f"{owner_id.hex}-{part}"


def preview_key(job_id: uuid.UUID) -> str:
    """Return the key, in the area ``derived``, of the picture as a generation under way last had it."""
    return f"{job_id.hex}-artwork_preview.jpg"


def png(pixels: RGB) -> bytes:
    """Return a picture [H,W,3] uint8 as PNG: lossless, with nothing in it but pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pixels_of(data: bytes) -> RGB:
    """Return the pixels of a PNG that :func:`png` made."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return np.asarray(picture.convert("RGB"))


def delete_files_of(owner_id: uuid.UUID) -> None:
    """Remove every file that bears this id; what is gone already is fine."""
    for part in Part:
        files.delete(Area.ARTWORKS, key_of(owner_id, part))
    files.delete(Area.DERIVED, preview_key(owner_id))


def delete_working_files(job_id: uuid.UUID) -> None:
    """Remove what only a job under way needs."""
    files.delete(Area.ARTWORKS, key_of(job_id, Part.CHECKPOINT))
    files.delete(Area.DERIVED, preview_key(job_id))


def sweep() -> int:
    """Remove files older than an hour that belong to nothing any more; return how many.

    A process killed between writing a file and committing its row leaves one, and so does one killed between the end
    of a job and the removal of its checkpoint.
    """
    files.remove_unfinished(Area.ARTWORKS, _ORPHAN_SECONDS)
    old = [
        *_older(Area.ARTWORKS, "*/*-*"),
        *_older(Area.DERIVED, "*/*-artwork_preview.jpg"),
    ]
    ids = {owner for _path, owner in old}
    kept: set[uuid.UUID] = set()
    for model in (Artwork, Proof, Trial):
        kept |= set(model.objects.filter(pk__in=ids).values_list("pk", flat=True))
    kept |= set(Job.objects.filter(pk__in=ids).exclude(state__in=FINAL_STATES).values_list("pk", flat=True))
    gone = [path for path, owner in old if owner not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _older(area: Area, pattern: str) -> list[tuple[Path, uuid.UUID]]:
    before = time.time() - _ORPHAN_SECONDS
    found = []
    for path in (Path(settings.MEDIA_ROOT) / area).glob(pattern):
        name = _OURS.fullmatch(path.name)
        try:
            if name and path.stat().st_mtime < before:
                found.append((path, uuid.UUID(name["id"])))
        except FileNotFoundError:
            # Deleted between the listing and the look at it.
            continue
    return found
