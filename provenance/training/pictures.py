"""Pictures to measure and train with: the folder that ``PROVENANCE_DATA`` names, split by picture."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class DataMissing(RuntimeError):
    """The pictures are not there; the message says what to set."""


def data_folder() -> Path:
    """Return the folder of the data sets.

    Raises:
        DataMissing: there is no such folder.
    """
    folder = Path(os.environ.get("PROVENANCE_DATA", "../shared/data"))
    if not folder.is_dir():
        raise DataMissing(
            f"There is no folder {folder.absolute()}. Set PROVENANCE_DATA to a folder with the archives: flickr8k.tar,"
            " caltech101.tar, cifar10.tar.gz and what else is asked for."
        )
    return folder


def archive_path(name: str) -> Path:
    """Return where an archive of the data sets is.

    Raises:
        DataMissing: it is not there.
    """
    path = data_folder() / name
    if not path.is_file():
        raise DataMissing(f"{name} is not in {path.parent}. Set PROVENANCE_DATA to the folder that has it.")
    return path


def in_held_out_half(name: str) -> bool:
    """Say in which half a picture is, by the SHA-256 of its name in the archive: thresholds are chosen on one half
    and reported on the other, so that nobody needs a list."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


class Part(StrEnum):
    """What a picture may be used for when something is learnt: TUNE and TEST are the held-out half."""

    TRAIN = "train"
    TUNE = "tune"
    TEST = "test"


def part_of(name: str) -> Part:
    """Say what a picture may be used for, by the SHA-256 of its name in the archive; a quarter of the held-out half is
    for thresholds."""
    if not in_held_out_half(name):
        return Part.TRAIN
    return Part.TUNE if hashlib.sha256(name.encode()).digest()[1] < 64 else Part.TEST


def encoded_pictures(archive: str, *, held_out: bool) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file bytes) of one half of an archive's pictures, in the archive's order.

    Raises:
        DataMissing: the archive is not there.
    """
    with tarfile.open(archive_path(archive)) as tar:
        for member in tar:
            if not (member.isfile() and member.name.lower().endswith(_SUFFIXES)):
                continue
            if in_held_out_half(member.name) == held_out:
                handle = tar.extractfile(member)
                if handle is not None:
                    yield member.name, handle.read()
