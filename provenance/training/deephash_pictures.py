"""Grey pictures to train deep hashes with: folders, the archives of the other recipes, CIFAR-10; read once, kept; and
whether pictures teach anything."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from provenance.hashing.autoencoders import grey
from provenance.images.decode import DecodeError, decode
from provenance.training.pictures import DataMissing, Part, archive_path, encoded_pictures, part_of

Levels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

# Fewer pictures than this teach a hash of 16 bits and more nothing but themselves.
LEAST_PICTURES = 64
# As grey thumbnails: nearer than that, two pictures are one picture twice (37 dB).
_THUMBNAIL, _SAME_MSE = 16, 13.0
SIDE, CIFAR_SIDE = 128, 32
PHOTOGRAPHS = ("flickr8k.tar", "caltech101.tar")
CIFAR = "cifar10.tar.gz"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


class CannotTrain(ValueError):
    """These pictures cannot teach a hash; the message says why, for whoever asked."""


@dataclass(frozen=True)
class GreyPictures:
    """Pictures as the autoencoders see them, no two of the same grey levels.

    Attributes:
        names: ``archive/member`` or a path below the folder.
        levels: uint8 ``[N, side, side]``.
    """

    names: list[str]
    levels: Levels

    def of(self, *parts: Part) -> Rows:
        """Return the rows of the pictures that belong to one of these parts."""
        return np.flatnonzero([part_of(name.partition("/")[2]) in parts for name in self.names])


def photographs(cache: Path) -> GreyPictures:
    """Return the photographs of :data:`PHOTOGRAPHS`, read once into ``cache``.

    Raises:
        DataMissing: an archive is not there.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        for archive in PHOTOGRAPHS:
            for held_out in (False, True):
                for name, data in encoded_pictures(archive, held_out=held_out):
                    yield f"{archive.removesuffix('.tar')}/{name}", data

    return _cached(cache / "photographs", read, SIDE)


def folder(path: Path, cache: Path) -> GreyPictures:
    """Return the pictures below a folder, read once into ``cache``; what is no picture is passed over.

    Raises:
        DataMissing: there is no such folder, or no picture in it.
    """
    if not path.is_dir():
        raise DataMissing(f"There is no folder {path}.")

    def read() -> Iterator[tuple[str, bytes]]:
        for file in _files(path):
            yield file.relative_to(path).as_posix(), file.read_bytes()

    found = _cached(cache / folder_key(path), read, SIDE)
    if not found.names:
        raise DataMissing(f"There is no picture in {path}.")
    return found


def folder_key(path: Path) -> str:
    """Return a name for the pictures below a folder as they are now: other pictures have another."""
    digest = hashlib.sha256(str(path.resolve()).encode())
    for file in _files(path):
        digest.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"folder-{digest.hexdigest()[:12]}"


def _files(path: Path) -> list[Path]:
    return [file for file in sorted(path.rglob("*")) if file.suffix.lower() in _SUFFIXES and file.is_file()]


def cifar(cache: Path) -> GreyPictures:
    """Return CIFAR-10 (60,000 pictures of 32 x 32, here re-encoded as JPEG), ``test/`` or ``train/``, class and number
    as name; read once into ``cache``.

    Raises:
        DataMissing: the archive is not there.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        with tarfile.open(archive_path(CIFAR)) as tar:
            for member in tar:
                handle = tar.extractfile(member) if member.name.lower().endswith(_SUFFIXES) else None
                if handle is not None:
                    yield member.name, handle.read()

    return _cached(cache / "cifar", read, CIFAR_SIDE)


def _cached(stem: Path, read: Callable[[], Iterator[tuple[str, bytes]]], side: int) -> GreyPictures:
    names_file, levels_file = stem.with_suffix(".txt"), stem.with_suffix(".npy")
    if not names_file.exists():
        stem.parent.mkdir(parents=True, exist_ok=True)
        names, levels, seen = [], [], set()
        for name, data in track(read(), f"Reading {stem.name}"):
            try:
                square = grey(decode(data).pixels, side)
            except DecodeError:
                continue
            if (digest := hashlib.sha256(square.tobytes()).digest()) not in seen:
                seen.add(digest)
                names.append(name)
                levels.append(square)
        np.save(levels_file, np.stack(levels) if levels else np.empty((0, side, side), np.uint8))
        names_file.write_text("\n".join(names))
    text = names_file.read_text()
    return GreyPictures(text.split("\n") if text else [], np.load(levels_file, mmap_mode="r"))


def thumbnail(square: Levels) -> npt.NDArray[np.float32]:
    """Return uint8 ``[side, side]`` as float32 ``[256]``, by which one tells whether it :func:`repeats` another."""
    box = square.shape[0] // _THUMBNAIL
    return np.asarray(square.reshape(_THUMBNAIL, box, _THUMBNAIL, box).mean((1, 3), np.float32)).ravel()


def repeats(one: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return bool ``[N]``: whether a :func:`thumbnail` is of one picture with each of ``[N, 256]``."""
    return np.asarray(np.square(others - one).mean(1) <= _SAME_MSE)


def distinct(levels: Levels, rows: Rows, enough: int) -> int:
    """Count pictures that are not one picture again, up to ``enough``; of those rows of uint8 ``[N, side, side]``."""
    kept = np.empty((enough, _THUMBNAIL**2), np.float32)
    count = 0
    for row in rows:
        small = thumbnail(levels[row])
        if not repeats(small, kept[:count]).any():
            kept[count] = small
            count += 1
            if count == enough:
                break
    return count


def check_pictures(levels: Levels, rows: Rows) -> None:
    """Raise :class:`CannotTrain` where these rows teach nothing: none, too few, or the same again and again."""
    if not len(rows):
        raise CannotTrain("There is no picture to learn from.")
    if len(rows) < LEAST_PICTURES:
        raise CannotTrain(f"A hash needs at least {LEAST_PICTURES} different pictures, not {len(rows)}.")
    if (count := distinct(levels, rows, LEAST_PICTURES)) < LEAST_PICTURES:
        raise CannotTrain(
            f"Of {len(rows)} pictures only {count} differ from each other, the rest repeat them;"
            f" a hash needs at least {LEAST_PICTURES} different ones."
        )
