"""Squares in colour to train and measure signatures with: CIFAR-10, the photographs, or a folder; read once, kept."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from provenance.images.align import resized
from provenance.images.decode import DecodeError, decode
from provenance.training.pictures import DataMissing, Part, archive_path, encoded_pictures, part_of
from provenance.watermark import paper

U8 = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

CIFAR, CIFAR_SIDE = "cifar10.tar.gz", 32
PHOTOGRAPHS = ("flickr8k.tar", "caltech101.tar")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Squares:
    """Pictures of one side, and what each may be used for.

    Attributes:
        names: of the pictures; those below ``test/`` and ``train/`` are for that, the others go by their digests.
        pixels: uint8 ``[N, side, side, 3]``, mapped from a file.
    """

    names: list[str]
    pixels: U8

    def of(self, part: Part) -> Rows:
        """Return the rows of the pictures of a part."""
        return self._rows[part]

    @cached_property
    def _rows(self) -> dict[Part, Rows]:
        parts = np.array([_part(name) for name in self.names])
        return {part: np.flatnonzero(parts == part) for part in Part}

    def drawn(self, rows: Rows, side: int, random: np.random.Generator) -> U8:
        """Return uint8 ``[len(rows), side, side, 3]``: from larger pictures a window, from ``side`` to all of it,
        reduced; half of them mirrored."""
        whole = self.pixels.shape[1]
        found = np.empty((len(rows), side, side, 3), np.uint8)
        for place, row in enumerate(rows):
            size = int(random.integers(side, whole + 1))
            top, left = random.integers(0, whole - size + 1, 2)
            window = resized(self.pixels[row, top : top + size, left : left + size], (side, side))
            found[place] = window[:, ::-1] if random.random() < 0.5 else window
        return found


def cifar(cache: Path) -> Squares:
    """Return CIFAR-10, 60,000 pictures of 32 x 32, here re-encoded as JPEG.

    Raises:
        DataMissing: the archive is not there.
    """
    path = archive_path(CIFAR)

    def read() -> Iterator[tuple[str, bytes]]:
        with tarfile.open(path) as tar:
            for member in tar:
                handle = tar.extractfile(member) if member.name.lower().endswith(_SUFFIXES) else None
                if handle is not None:
                    yield member.name, handle.read()

    return _cached(cache / "colour-cifar", read(), CIFAR_SIDE)


def photographs(cache: Path, side: int) -> Squares:
    """Return the middle squares of the photographs of :data:`PHOTOGRAPHS`.

    Raises:
        DataMissing: an archive is not there.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        for archive in PHOTOGRAPHS:
            for held_out in (False, True):
                yield from encoded_pictures(archive, held_out=held_out)

    return _cached(cache / f"colour-photographs-{side}", read(), side)


def folder(path: Path, cache: Path, side: int) -> Squares:
    """Return the middle squares of the pictures below a folder; what is no picture is passed over.

    Raises:
        DataMissing: there is no such folder, or no picture in it.
    """
    if not path.is_dir():
        raise DataMissing(f"There is no folder {path}.")
    files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in _SUFFIXES and file.is_file()]
    # Of the files too: pictures that came later belong to it.
    told = [str(path.resolve()), *(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    read = ((file.relative_to(path).as_posix(), file.read_bytes()) for file in files)
    found = _cached(cache / f"colour-{digest}-{side}", read, side)
    if not found.names:
        raise DataMissing(f"There is no picture in {path}.")
    return found


def of_size(size: str, pictures: Path | None, cache: Path) -> list[Squares]:
    """Return what a size is trained on: a folder, or at the paper's size the photographs, else CIFAR-10 as well.

    Raises:
        DataMissing: they are not there.
    """
    side = paper.PROFILES[size].side
    if pictures is not None:
        return [folder(pictures, cache, side)]
    return [photographs(cache, side)] if size == "paper" else [cifar(cache), photographs(cache, 3 * side)]


def drawn(sources: list[Squares], part: Part, count: int, side: int, random: np.random.Generator) -> U8:
    """Return different pictures of a part, of each source as many, uint8 ``[count, side, side, 3]``; fewer where a
    source has not so many.

    Raises:
        DataMissing: a source has none.
    """
    found = []
    for number, source in enumerate(sources):
        share, rows = count // len(sources) + (number < count % len(sources)), source.of(part)
        if not len(rows):
            raise DataMissing(f"Of {len(source.names)} pictures none is for {part}: more pictures are needed.")
        found.append(source.drawn(random.choice(rows, min(share, len(rows)), replace=False), side, random))
    return np.concatenate(found)


def _part(name: str) -> Part:
    if name.startswith("test/"):
        return Part.TEST
    if name.startswith("train/"):
        return Part.TUNE if hashlib.sha256(name.encode()).digest()[0] < 8 else Part.TRAIN
    return part_of(name)


def _cached(stem: Path, read: Iterator[tuple[str, bytes]], side: int) -> Squares:
    names_file, pixels_file = stem.with_suffix(".txt"), stem.with_suffix(".npy")
    if not names_file.exists():
        stem.parent.mkdir(parents=True, exist_ok=True)
        names, squares = [], []
        for name, data in track(read, f"Reading {stem.name}"):
            try:
                pixels = decode(data).pixels
            except DecodeError:
                continue
            height, width = pixels.shape[:2]
            size = min(height, width)
            top, left = (height - size) // 2, (width - size) // 2
            names.append(name)
            squares.append(resized(pixels[top : top + size, left : left + size], (side, side)))
        np.save(pixels_file, np.stack(squares) if squares else np.empty((0, side, side, 3), np.uint8))
        names_file.write_text("\n".join(names))
    text = names_file.read_text()
    return Squares(text.split("\n") if text else [], np.load(pixels_file, mmap_mode="r"))
