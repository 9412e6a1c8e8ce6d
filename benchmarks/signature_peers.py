"""Invisible watermarks that ours is compared with, as the package ``invisible-watermark`` has them, MIT.

Its wheel is only unpacked, never installed (it would bring a second OpenCV)::

    pip download --no-deps -d build/peers invisible-watermark==0.2.0
    pip install -r benchmarks/requirements.txt
"""

from __future__ import annotations

import importlib
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.bool_]
_WHEEL = Path("build/peers/invisible_watermark-0.2.0-py3-none-any.whl")
_BITS = 32
# Its decoder gives numbers from 0 to 1; the package's own cut.
_RIVAGAN_CUT = 0.52


@dataclass(frozen=True)
class Peer:
    """A watermark of 32 bits.

    Attributes:
        embed: RGB uint8 ``[H,W,3]`` and bool ``[32]`` to a picture of the same size.
        extract: a picture to bool ``[32]``.
    """

    name: str
    embed: Callable[[RGB, Bits], RGB]
    extract: Callable[[RGB], Bits]


def peers() -> tuple[dict[str, Peer], dict[str, str]]:
    """Return the peers at hand by name, and for those that are not the command that brings them."""
    command = " and ".join(str(__doc__).rpartition("::")[2].strip().split("\n    "))
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return {}, dict.fromkeys(("RivaGAN", "dwtDct"), command)
    if not _WHEEL.exists():
        return {}, dict.fromkeys(("RivaGAN", "dwtDct"), command)
    found = (_rivagan(), _dwt_dct())
    return {peer.name: peer for peer in found}, {}


def _rivagan() -> Peer:
    """RivaGAN (Zhang et al., 2019): BGR in [-1, 1], as the package takes it, one frame of a film."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with zipfile.ZipFile(_WHEEL) as wheel:
        encoder, decoder = (
            onnxruntime.InferenceSession(
                wheel.read(f"imwatermark/rivagan_{half}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for half in ("encoder", "decoder")
        )

    def frame(pixels: RGB) -> npt.NDArray[np.float32]:
        return np.asarray(pixels[..., ::-1].transpose(2, 0, 1)[None, :, None] / 127.5 - 1, np.float32)

    def embed(pixels: RGB, bits: Bits) -> RGB:
        (signed, *_) = encoder.run(None, {"frame": frame(pixels), "data": bits[None].astype(np.float32)})
        return np.asarray(np.rint((signed[0, ::-1, 0].transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5), np.uint8)

    def extract(pixels: RGB) -> Bits:
        (values, *_) = decoder.run(None, {"frame": frame(pixels)})
        return np.asarray(values[0] > _RIVAGAN_CUT, np.bool_)

    return Peer("RivaGAN", embed, extract)


def _dwt_dct() -> Peer:
    """The package's "dwtDct", which Stable Diffusion's own programs use; it works on BGR."""
    unpacked = _WHEEL.with_suffix("")
    if not (unpacked / "imwatermark").is_dir():
        with zipfile.ZipFile(_WHEEL) as wheel:
            wheel.extractall(unpacked)
    sys.path.insert(0, str(unpacked))
    module: Any = importlib.import_module("imwatermark")

    def embed(pixels: RGB, bits: Bits) -> RGB:
        writer = module.WatermarkEncoder()
        writer.set_watermark("bits", [int(bit) for bit in bits])
        return np.asarray(writer.encode(np.ascontiguousarray(pixels[..., ::-1]), "dwtDct")[..., ::-1], np.uint8)

    def extract(pixels: RGB) -> Bits:
        reader = module.WatermarkDecoder("bits", _BITS)
        factor = 260 / math.sqrt(pixels.shape[0] * pixels.shape[1])
        # It refuses pictures of fewer pixels than 256 x 256.
        if factor > 1:
            pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))
        return np.asarray(reader.decode(np.ascontiguousarray(pixels[..., ::-1]), "dwtDct"), np.bool_)

    return Peer("dwtDct", embed, extract)
