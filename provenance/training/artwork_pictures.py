"""The pictures and captions that the artwork models are trained with and measured on.

``flickr8k.tar`` (photographs with five captions each), ``caltech101.tar`` (objects by class), ``ai_gpt4o.tar`` and
``ai_sd15.tar`` (made pictures). The split goes by picture and needs no list: the thousand photographs whose names
have the smallest SHA-256, and of the other archives one picture in ten, are held out.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from provenance.training.pictures import DataMissing, archive_path

SIDE = 224
HELD_OUT_PHOTOGRAPHS = 1000
ARCHIVES = ("flickr8k.tar", "caltech101.tar", "ai_gpt4o.tar", "ai_sd15.tar")


@dataclass(frozen=True)
class Pictures:
    """Squares of one side, with the words that belong to them.

    Attributes:
        names: ``archive/member`` of each picture; sheets of four give four pictures, ``#0`` to ``#3``.
        pixels: uint8 RGB ``[N, SIDE, SIDE, 3]``, mapped from the file.
        captions: for each picture its captions; objects have their class, made pictures have none.
        held_out: bool ``[N]``: never trained on.
    """

    names: list[str]
    pixels: npt.NDArray[np.uint8]
    captions: list[list[str]]
    held_out: npt.NDArray[np.bool_]


def load_pictures(cache: Path) -> Pictures:
    """Read every picture once, cut to its middle square at :data:`SIDE`; later calls map the cached file.

    Raises:
        DataMissing: an archive is not there.
    """
    names_file, pixels_file = cache / "names.txt", cache / "pixels.npy"
    if not names_file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        squares = [(name, square) for archive in ARCHIVES for name, square in _squares(archive)]
        np.save(pixels_file, np.stack([square for _, square in squares]))
        names_file.write_text("\n".join(name for name, _ in squares))
    names = names_file.read_text().split("\n")
    captions = _flickr_captions()
    return Pictures(
        names=names,
        pixels=np.load(pixels_file, mmap_mode="r"),
        captions=[_captions_of(name, captions) for name in names],
        held_out=_held_out(names),
    )


def held_out_photographs() -> Pictures:
    """Read the thousand held-out photographs and their captions, without a cache.

    Raises:
        DataMissing: the archive is not there.
    """
    captions = _flickr_captions()
    names = [f"flickr8k/images/{name}" for name in captions]
    wanted = {name for name, out in zip(names, _held_out(names), strict=True) if out}
    found = dict(_squares("flickr8k.tar", wanted))
    return Pictures(
        names=list(found),
        pixels=np.stack(list(found.values())),
        captions=[_captions_of(name, captions) for name in found],
        held_out=np.ones(len(found), np.bool_),
    )


def _squares(archive: str, wanted: set[str] | None = None) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    with tarfile.open(archive_path(archive)) as tar:
        for member in tar:
            name = f"{archive.removesuffix('.tar')}/{member.name}"
            handle = tar.extractfile(member)
            if handle is None or member.name.endswith(".csv") or (wanted is not None and name not in wanted):
                continue
            opened = cv2.imdecode(np.frombuffer(handle.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
            if opened is None:
                continue
            pixels = np.asarray(opened, np.uint8)
            height, width = pixels.shape[:2]
            if archive == "ai_sd15.tar" and height == width:
                half = height // 2
                for number, (top, left) in enumerate(((0, 0), (0, half), (half, 0), (half, half))):
                    yield f"{name}#{number}", _middle_square(pixels[top : top + half, left : left + half])
            else:
                yield name, _middle_square(pixels)


def _middle_square(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = pixels[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=method), np.uint8)


def _flickr_captions() -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    with tarfile.open(archive_path("flickr8k.tar")) as tar:
        handle = tar.extractfile("captions.csv")
        if handle is None:
            raise DataMissing("captions.csv is not in flickr8k.tar")
        for row in csv.DictReader(io.TextIOWrapper(handle, "utf-8")):
            captions.setdefault(row["image"], []).append(row["caption"])
    return captions


def _captions_of(name: str, captions: dict[str, list[str]]) -> list[str]:
    archive, _, member = name.partition("/")
    if archive == "flickr8k":
        return captions[member.removeprefix("images/")]
    if archive == "caltech101" and not member.startswith("BACKGROUND"):
        return [f"a photo of a {member.partition('/')[0].replace('_', ' ').lower()}"]
    return []


def _held_out(names: list[str]) -> npt.NDArray[np.bool_]:
    digests = [hashlib.sha256(name.partition("#")[0].encode()).digest() for name in names]
    photographs = sorted((digest, i) for i, digest in enumerate(digests) if names[i].startswith("flickr8k/"))
    pairs = zip(digests, names, strict=True)
    held_out = np.array([digest[0] < 26 and not name.startswith("flickr8k/") for digest, name in pairs])
    held_out[[i for _, i in photographs[:HELD_OUT_PHOTOGRAPHS]]] = True
    return held_out
