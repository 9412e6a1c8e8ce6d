"""The pictures and nets that ``benchmarks.deephash`` measures: read and trained once, kept outside the repository.

``PROVENANCE_DEEPHASH`` names their folder, by default one in the user's cache. A net that is not there is trained on
first use with the epochs below, which suit one core; the shipped ones are taken as they are.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from benchmarks.results import QUICK
from provenance.hashing.autoencoders import AutoencoderHash, grey
from provenance.hashing.deephash import DEEP_HASHES, EDIT_HASH
from provenance.hashing.dinohash import squared
from provenance.images.decode import decode
from provenance.models.autoencoder_nets import Architecture, load_autoencoder
from provenance.training.deephash import Epoch, Trainer, pictures_of, train_here
from provenance.training.deephash_pictures import CIFAR_SIDE, PHOTOGRAPHS, SIDE
from provenance.training.pictures import encoded_pictures

WORK = Path(os.environ.get("PROVENANCE_DEEPHASH") or user_cache_path("provenance") / "deephash")
if QUICK:
    WORK = WORK / "quick"
SCALES = {"ae": 0.375, "res-ae": 0.375, "con-vae": 0.375, "vte": 0.25}
# What a core does in well under an hour; the paper has 2,000 epochs at scale 1.
EPOCHS = {
    "photographs": {"ae": 3, "res-ae": 3, "con-vae": 3, "vte": 2},
    "cifar": {"ae": 4, "res-ae": 4, "con-vae": 4, "vte": 1},
}
SHIPPED_EPOCHS = {64: 10, 128: 9}
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
        for number, (name, data) in enumerate(encoded_pictures(archive, held_out=held_out))
        if not QUICK or number < 150
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


def autoencoder(kind: str, bits: int, source: str) -> AutoencoderHash:
    """Return a trained net as a hash: the shipped one, the one that lies in :data:`WORK`, or one trained now."""
    shipped = DEEP_HASHES.get(f"{kind}-{bits}-v1")
    if source == "photographs" and shipped is not None:
        assert isinstance(shipped, AutoencoderHash)
        return shipped
    stem = WORK / f"{source}-{kind}-{bits}"
    file = stem.with_suffix(".safetensors")
    if not file.exists():
        found, train, tune = pictures_of(source, WORK / "pictures")
        if QUICK:
            train, tune = train[:_QUICK_PICTURES], tune[:64]
        architecture = Architecture(
            kind,
            bits,
            SIDE if source == "photographs" else CIFAR_SIDE,
            _QUICK_SCALE if QUICK else SCALES[kind],
        )
        epochs = 1 if QUICK else EPOCHS[source][kind]
        train_here(
            Trainer(
                architecture, found.levels, train=train, tune=tune, epochs=epochs, checkpoint=stem.with_suffix(".pt")
            ),
            stem,
        )
    return AutoencoderHash(f"{kind}-{bits}", bits, lambda: load_autoencoder(file))


def history(kind: str, bits: int) -> list[Epoch]:
    """Return how error and PSNR went while a net was trained on photographs; empty where that was elsewhere."""
    file = WORK / f"photographs-{kind}-{bits}.json"
    return [Epoch(**row) for row in json.loads(file.read_text())] if file.exists() else []
