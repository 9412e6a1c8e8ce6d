"""Files of private catalogues: ciphertexts, signed lists, sealed questions. Without all shares nobody can read them.

Each catalogue has a folder in the area ``private``: ``blocks`` is what is evaluated and what keyholders read;
``holder`` is there where the site's worker encrypts, with the holder's names of the entries; ``questions`` has relayed
questions and their sealed answers until they expire.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.identity import write_whole
from provenance.private_lookup.registry import Manifest
from webapp.errors import ErrorCode, ProductError
from webapp.private.meeting import Meeting
from webapp.private.models import PrivateCatalogue

_KEPT_SECONDS = 24 * 3600.0


def place() -> Path:
    """Return the folder where the site and this machine's keyholders meet."""
    return Path(settings.PRIVATE_DIR)


def meeting_of(private: PrivateCatalogue) -> Meeting:
    """Return where a catalogue's keyholders are met."""
    return Meeting(place(), private.key)


def folder_of(private: PrivateCatalogue, part: str) -> Path:
    """Return one of a catalogue's folders, made."""
    folder = Path(settings.MEDIA_ROOT) / "private" / private.key / part
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def blocks_of(private: PrivateCatalogue) -> Path:
    """Return the folder of what is evaluated."""
    return folder_of(private, "blocks")


def holder_of(private: PrivateCatalogue) -> Path:
    """Return the folder of what the site's worker encrypted, with the names of its entries."""
    return folder_of(private, "holder")


def question_file(private: PrivateCatalogue, question_id: uuid.UUID, suffix: str) -> Path:
    """Return where a relayed question or its answer is."""
    return folder_of(private, "questions") / f"{question_id.hex}.{suffix}"


def manifest_put(private: PrivateCatalogue, signed: bytes | None) -> None:
    """Let the folder have that content; None for none."""
    path = blocks_of(private) / MANIFEST
    if signed is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, signed)


def blocks_link(private: PrivateCatalogue, manifest: Manifest) -> None:
    """Put the blocks that the site's worker made where they are evaluated; no byte is copied."""
    for block in manifest.blocks:
        name = f"{block.sha256}.block"
        with suppress(FileExistsError):
            os.link(holder_of(private) / name, blocks_of(private) / name)


def blocks_keep(private: PrivateCatalogue, *kept: Manifest) -> None:
    """Remove the blocks that are in none of these contents."""
    names = {f"{block.sha256}.block" for manifest in kept for block in manifest.blocks}
    for path in blocks_of(private).glob("*.block"):
        if path.name not in names:
            path.unlink(missing_ok=True)


@contextmanager
def offering_alone(private_id: int) -> Iterator[None]:
    """Wait until no other process offers this catalogue's content to its keyholders."""
    folder = place() / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"offer-{private_id}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def holder_locked(private: PrivateCatalogue) -> Iterator[Path]:
    """Change what the site's worker encrypted, alone.

    Raises:
        ProductError: somebody else does just now (409).
    """
    folder = holder_of(private)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProductError(
                ErrorCode.CONFLICT,
                _("Something else is being changed in this catalogue. Try again in a moment."),
                status=409,
                retry_after=5,
            ) from None
        yield folder


def sweep() -> None:
    """Remove the files and meetings of catalogues that are purged, and questions whose time is over."""
    root = Path(settings.MEDIA_ROOT) / "private"
    known = {pk.hex for pk in PrivateCatalogue.objects.values_list("catalogue_id", flat=True)}
    before = time.time() - _KEPT_SECONDS
    for folder in root.glob("*"):
        if folder.name not in known:
            # First the key, then what it opens.
            Meeting(place(), folder.name).close()
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for path in [*folder.glob("questions/*"), *folder.glob("blocks/*.receiving")]:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
