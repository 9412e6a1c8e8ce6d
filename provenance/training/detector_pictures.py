"""The pictures that the detector of AI pictures is trained with and measured on, all with one history.

Photographs: ``flickr8k.tar``, ``caltech101.tar``; ``imagenet_sample.tar`` for tests only. Made by AI: ``ai_sd15.tar``
(sheets of four are cut) and ``ai_gpt4o.tar``. Drawn and painted by people before there were such generators, so that
"drawn" is not taken for "made by AI": packages of Debian 12, looked for in the same folder, left out where they are
not. ::

    apt-get download tuxpaint-stamps-default wesnoth-1.16-{data,did,dm,dw,ei,httt,l,low,nr,sof,sota}
    apt-get download wesnoth-1.16-{sotbe,thot,trow,tsg,ttb,utbs}

Flickr8k is there as squares of 224 pixels, squeezed out of their proportions and saved as JPEG 70. Nothing can undo
that, so it is done to all others too (:func:`with_one_history`): neither size, nor format, nor sharpness, nor
proportions may tell who made a picture. What a picture may be used for goes by the SHA-256 of its name
(``pictures.part_of``); drawings of one figure have one part.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator
from PIL import Image

from provenance.images.decode import decode, encode_jpeg
from provenance.training.pictures import Part, archive_path, data_folder, part_of

RGB = npt.NDArray[np.uint8]

SIDE, QUALITY = 224, 70
PHOTOGRAPHS = ("flickr8k", "caltech101", "imagenet_sample")
DRAWINGS = ("wesnoth", "tuxpaint")
GENERATORS = ("sd15", "gpt4o")
_ARCHIVES = {"sd15": "ai_sd15", "gpt4o": "ai_gpt4o"}
_PACKAGES = {"wesnoth": "wesnoth-1.16-*.deb", "tuxpaint": "tuxpaint-stamps-default_*.deb"}
# Folders of the packages that hold whole pictures; the others have letters, tiles and sprites.
_WHOLE = {"wesnoth": ("/portraits", "/story", "/maps"), "tuxpaint": ("/stamps/",)}
_LETTERS = "/symbols/"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LEAST_SIDE, _LEAST_COVER = 180, 0.3
# The proportions out of which a picture is squeezed into a square.
_NARROWEST, _WIDEST = 0.67, 1.5


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture.

    Attributes:
        name: ``source/member``; of sheets of four ``#0`` to ``#3``.
        source: where it is from, one of those above.
        part: what it may be used for.
        file: as it was found.
        sha256: of its file, hex.
        pixels: uint8 ``[SIDE, SIDE, 3]``, with the history that all have.
    """

    name: str
    source: str
    part: Part
    file: bytes
    sha256: str
    pixels: RGB

    @property
    def made(self) -> bool:
        """Whether it was made by AI."""
        return self.source in GENERATORS


def chance_of(name: str) -> Generator:
    """Return the chance that belongs to a picture."""
    return Generator(PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[8:16], "big")))


def with_one_history(pixels: RGB, name: str, *, squeezed: bool = False) -> RGB:
    """Return a picture as Flickr8k has its own: a square of 224 pixels out of other proportions, JPEG 70.

    Args:
        squeezed: it has been squeezed already.
    """
    height, width, _ = pixels.shape
    box = (0.0, 0.0, float(width), float(height))
    if not squeezed:
        chance = chance_of(name)
        proportion = float(chance.uniform(_NARROWEST, _WIDEST))
        wide = min(float(width), height * proportion)
        high = min(float(height), wide / proportion)
        left, top = chance.random() * (width - wide), chance.random() * (height - high)
        box = (left, top, min(width, left + wide), min(height, top + high))
    square = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return decode(encode_jpeg(np.asarray(square), quality=QUALITY)).pixels


def samples(source: str, most: dict[Part, int]) -> Iterator[Sample]:
    """Yield pictures of a source, by the SHA-256 of their names, at most so many of each part (of sheets: files).

    Raises:
        DataMissing: its archive is not there.
    """
    taken = dict.fromkeys(Part, 0)
    files = [(member, data, _part(source, member), hashlib.sha256(data).hexdigest()) for member, data in _files(source)]
    # A file that is there under two names is learnt from, tuned on or measured on: the first of these.
    home = {digest: wanted for wanted in reversed(Part) for _member, _data, part, digest in files if part == wanted}
    for member, data, part, digest in files:
        if taken[part] >= most.get(part, 0) or part != home[digest]:
            continue
        pictures = list(_opened(source, member, data))
        taken[part] += bool(pictures)
        for name, pixels in pictures:
            history = with_one_history(pixels, name, squeezed=source == "flickr8k")
            yield Sample(f"{source}/{name}", source, part, data, digest, history)


def native(sample: Sample) -> RGB:
    """Return a picture without the common history, uint8 ``[H, W, 3]``: its file's own pixels, of a sheet its quarter,
    of a cut-out figure on its ground."""
    member = re.sub("#[0-3]$", "", sample.name.removeprefix(f"{sample.source}/"))
    return dict(_opened(sample.source, member, sample.file))[sample.name.removeprefix(f"{sample.source}/")]


def present(source: str) -> bool:
    """Whether the files of a source are in the folder."""
    if source in _PACKAGES:
        return any(data_folder().glob(_PACKAGES[source]))
    return _archive(source).is_file()


def _part(source: str, member: str) -> Part:
    # No one may learn from these: they are for research only.
    if source == "imagenet_sample":
        return Part.TEST
    return part_of(_figure(member) if source in DRAWINGS else member)


def _figure(name: str) -> str:
    """Return what the variants of one drawing share: the folder and the first word of their file names."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{re.split('[^A-Za-z]', file)[0]}"


def _archive(source: str) -> Path:
    return data_folder() / f"{_ARCHIVES.get(source, source)}.tar"


def _files(source: str) -> list[tuple[str, bytes]]:
    if source in _PACKAGES:
        found = [file for package in sorted(data_folder().glob(_PACKAGES[source])) for file in _packed(source, package)]
    else:
        with tarfile.open(archive_path(_archive(source).name)) as tar:
            found = list(_members(tar))
    return sorted(found, key=lambda file: hashlib.sha256(file[0].encode()).digest()[2:])


def _packed(source: str, package: Path) -> Iterator[tuple[str, bytes]]:
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        for name, data in _members(tar):
            if any(folder in name for folder in _WHOLE[source]) and _LETTERS not in name:
                yield name, data


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        handle = tar.extractfile(member) if member.isfile() and member.name.lower().endswith(_SUFFIXES) else None
        if handle is not None:
            yield member.name, handle.read()


def _opened(source: str, name: str, data: bytes) -> Iterator[tuple[str, RGB]]:
    if source in DRAWINGS:
        with Image.open(io.BytesIO(data)) as file:
            image = file.convert("RGBA")
        cover = np.asarray(image.getchannel("A"), np.float32).mean() / 255
        if min(image.size) >= _LEAST_SIDE and cover >= _LEAST_COVER:
            yield name, _on_ground(image, chance_of(name))
        return
    pixels = decode(data).pixels
    height, width, _ = pixels.shape
    if source != "sd15" or height != width:
        yield name, pixels
        return
    half = height // 2
    for number, (top, left) in enumerate(((0, 0), (0, half), (half, 0), (half, half))):
        yield f"{name}#{number}", pixels[top : top + half, left : left + half]


def _on_ground(image: Image.Image, chance: Generator) -> RGB:
    """Put a cut-out figure on a plain ground, from one muted tone above to another below."""
    above = chance.uniform(0, 255) + chance.uniform(-14, 14, 3)
    below = above + chance.uniform(-60, 60) + chance.uniform(-10, 10, 3)
    fall = np.linspace(0, 1, image.height)[:, None, None]
    ground = np.clip((above * (1 - fall) + below * fall) * np.ones((1, image.width, 1)), 0, 255).astype(np.uint8)
    result = Image.fromarray(ground).convert("RGBA")
    result.alpha_composite(image)
    return np.asarray(result.convert("RGB"))
