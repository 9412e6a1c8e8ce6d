"""The pictures and nets that ``benchmarks.deephash`` measures: read and trained once, kept outside the repository.

``PROVENANCE_DEEPHASH`` names their folder, by default one in the user's cache. A net that is not there is trained on
first use, for :data:`EPOCHS`, as one core may; one that ``provenance.training.deephash`` left there, whatever its
epochs, and the shipped ones are taken as they are.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from benchmarks.deephash_measures import Codes
from benchmarks.results import QUICK
from provenance.hashing.autoencoders import AutoencoderHash, grey
from provenance.hashing.deephash import DEEP_HASHES, EDIT_HASH
from provenance.hashing.dinohash import squared
from provenance.images.decode import decode
from provenance.models.autoencoder_nets import BITS, KINDS, Architecture, load_autoencoder
from provenance.training.deephash import Epoch, Trainer, pictures_of, train_here
from provenance.training.deephash_pictures import CIFAR, CIFAR_SIDE, PHOTOGRAPHS, SIDE, GreyPictures
from provenance.training.pictures import data_folder, encoded_pictures

WORK = Path(os.environ.get("PROVENANCE_DEEPHASH") or user_cache_path("provenance") / "deephash")
if QUICK:
    WORK = WORK / "quick"
SCALES = {"ae": 0.375, "res-ae": 0.375, "con-vae": 0.375, "vte": 0.125}
# As the shipped ones; the paper has 2,000 at scale 1.
EPOCHS = 10
_SHIPPED_EPOCHS = {64: 10, 128: 9}
Key = tuple[str, int]
"""Kind, or ``ours``, and bits."""
KEYS: tuple[Key, ...] = (("con-vae", 16), ("con-vae", 64)) if QUICK else tuple((k, n) for k in KINDS for n in BITS)
OURS: Key = ("ours", 64)
NAMES = {"ae": "AE", "res-ae": "Res-AE", "con-vae": "Con-VAE", "vte": "VTE", "ours": "edit-hash-64-v1 (ours)"}
# A toy, so that a small sample takes seconds.
_QUICK_SCALE, _QUICK_PICTURES = 0.125, 320

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Registry:
    """The registered photographs, as each kind of hash sees them, in the archives' order.

    Attributes:
        names: ``archive/member``.
        levels: uint8 ``[N, 128, 128]``, grey.
        squares: uint8 ``[N, S, S, 3]``, for the edit hash.
        encoded: the files.
    """

    names: list[str]
    levels: U8
    squares: U8
    encoded: list[bytes]


@cache
def registry() -> Registry:
    """Return every photograph of Flickr8k and Caltech 101 once (QUICK: some); decoded once into :data:`WORK`."""
    levels_file, squares_file, names_file = (WORK / f"registry-{n}" for n in ("levels.npy", "squares.npy", "names.txt"))
    files = [
        (f"{archive.removesuffix('.tar')}/{name}", data)
        for archive in PHOTOGRAPHS
        for held_out in (False, True)
        for name, data in islice(encoded_pictures(archive, held_out=held_out), 80 if QUICK else None)
    ]
    if not names_file.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        kept, levels, squares, seen = [], [], [], set()
        for name, data in files:
            pixels = decode(data).pixels
            level = grey(pixels, SIDE)
            if level.tobytes() not in seen:
                seen.add(level.tobytes())
                kept.append(name)
                levels.append(level)
                squares.append(squared(pixels, EDIT_HASH.side))
        np.save(levels_file, np.stack(levels))
        np.save(squares_file, np.stack(squares))
        names_file.write_text("\n".join(kept))
    names = names_file.read_text().split("\n")
    by_name = dict(files)
    return Registry(
        names,
        np.load(levels_file, mmap_mode="r"),
        np.load(squares_file, mmap_mode="r"),
        [by_name[name] for name in names],
    )


@cache
def _files(archive: str) -> list[tuple[str, bytes]]:
    with tarfile.open(data_folder() / archive) as tar:
        handles = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return [(name, handle.read()) for name, handle in handles if handle is not None]


def some_pictures(archive: str, most: int, wanted: Callable[[str], bool]) -> list[tuple[str, U8]]:
    """Return evenly chosen pictures of an archive, uint8 ``[H, W, 3]``, with their names."""
    files = [(name, data) for name, data in _files(archive) if wanted(name)]
    chosen = [files[int(i)] for i in np.linspace(0, len(files) - 1, min(most, len(files)))]
    return [(name, decode(data).pixels) for name, data in chosen]


def _quick_pictures(source: str) -> tuple[GreyPictures, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if source == "photographs":
        known = registry()
        found = GreyPictures(known.names, known.levels)
    else:
        some = some_pictures(CIFAR, _QUICK_PICTURES, lambda name: name.startswith("test/"))
        found = GreyPictures([name for name, _ in some], np.stack([grey(each, CIFAR_SIDE) for _, each in some]))
    return found, np.arange(min(_QUICK_PICTURES, len(found.names))), np.empty(0, np.int64)


def autoencoder(kind: str, bits: int, source: str) -> AutoencoderHash:
    """Return a trained net as a hash: the shipped one, the one that lies in :data:`WORK`, or one trained now."""
    shipped = DEEP_HASHES.get(f"{kind}-{bits}-v1")
    if source == "photographs" and shipped is not None:
        assert isinstance(shipped, AutoencoderHash)
        return shipped
    stem = WORK / f"{source}-{kind}-{bits}"
    file = stem.with_suffix(".safetensors")
    if not file.exists():
        found, train, tune = _quick_pictures(source) if QUICK else pictures_of(source, WORK / "pictures")
        architecture = Architecture(
            kind,
            bits,
            SIDE if source == "photographs" else CIFAR_SIDE,
            _QUICK_SCALE if QUICK else SCALES[kind],
        )
        epochs = 1 if QUICK else EPOCHS
        train_here(
            Trainer(
                architecture, found.levels, train=train, tune=tune, epochs=epochs, checkpoint=stem.with_suffix(".pt")
            ),
            stem,
        )
    return AutoencoderHash(f"{kind}-{bits}", bits, lambda: load_autoencoder(file))


def history(kind: str, bits: int, source: str) -> list[Epoch]:
    """Return how error and PSNR went while a net was trained; empty where that was elsewhere."""
    file = WORK / f"{source}-{kind}-{bits}.json"
    return [Epoch(**row) for row in json.loads(file.read_text())] if file.exists() else []


def epochs_of(key: Key, source: str) -> str:
    """Say for how many epochs a net was trained; ours had none."""
    kind, bits = key
    shipped = source == "photographs" and f"{kind}-{bits}-v1" in DEEP_HASHES
    epochs = _SHIPPED_EPOCHS[bits] if shipped and key != OURS else len(history(kind, bits, source))
    return str(epochs) if epochs else "-"


@dataclass(frozen=True)
class Views:
    """Pictures as both kinds of hash see them: grey uint8 ``[N, side, side]`` and RGB uint8 ``[N, S, S, 3]``."""

    levels: U8
    squares: U8


def views_of(pictures: list[U8], side: int = SIDE) -> Views:
    """Return pictures as both kinds of hash see them."""
    levels = np.empty((len(pictures), side, side), np.uint8)
    squares = np.empty((len(pictures), EDIT_HASH.side, EDIT_HASH.side, 3), np.uint8)
    for row, pixels in enumerate(pictures):
        levels[row], squares[row] = grey(pixels, side), squared(pixels, EDIT_HASH.side)
    return Views(levels, squares)


Encoder = Callable[[Views], Codes]


def encoders(source: str) -> dict[Key, Encoder]:
    """Return what encodes pictures, ours last."""

    def of_grey(net: AutoencoderHash) -> Encoder:
        return lambda views: Codes(*net.encode_grey(views.levels))

    nets = {key: of_grey(autoencoder(*key, source)) for key in KEYS}
    return {**nets, OURS: lambda views: Codes(*EDIT_HASH.encode_squares(views.squares))}
