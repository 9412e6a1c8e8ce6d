"""The paper's own signature, as its code has it (NoiseHashGAN): kept to reproduce and to compare, not to use.

The digest shrinks to about six bits of key on the way to Z, because averaging sixteen neighbouring pixels averages one
whole period of the sixteen bytes that they repeat.
"""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

STRIDE = 16
CHANNELS = 256


def digest(bgr: npt.NDArray[np.uint8]) -> str:
    """Return BLAKE2s-16 over the raw samples, uint8 BGR ``[H, W, 3]``, as 32 hex digits: the paper's identity."""
    return hashlib.blake2s(np.ascontiguousarray(bgr).tobytes(), digest_size=16).hexdigest()


def signature_image(identity: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Repeat the MD5 of the digest's text over a picture: pixel k in raster order has bytes k, k + 1, k + 2 modulo 16.

    Returns:
        uint8 RGB ``[H, W, 3]``.
    """
    period = np.frombuffer(hashlib.md5(identity.encode(), usedforsecurity=False).digest(), np.uint8)
    places = np.arange(height * width)
    return np.stack([period[(places + channel) % 16] for channel in range(3)], 1).reshape(height, width, 3)


def grey_grid(signature: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Shrink a signature image to a cell for each stride and turn it grey: uint8 ``[W // 16, H // 16]``.

    OpenCV's size is (width, height) and the published code hands it over the other way round; that is kept.
    """
    height, width, _ = signature.shape
    bgr = np.ascontiguousarray(signature[..., ::-1])
    small = cv2.resize(bgr, (height // STRIDE, width // STRIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def latent(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return Z before its optimisation, ``sin(0.5 Z)``: float32 ``[256, H // 16, W // 16]``, one value a cell."""
    height, width = grey.shape[1], grey.shape[0]
    values = np.sin(0.5 * ((grey.astype(np.float64) / 255 - 0.5) * 2)).astype(np.float32)
    return np.broadcast_to(values.reshape(1, height, width), (CHANNELS, height, width)).copy()


def key_latent(
    bgr: npt.NDArray[np.uint8], *, through_jpeg: bool = True
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Run the whole scheme on a decoded key picture, uint8 BGR ``[H, W, 3]``.

    Args:
        through_jpeg: keep the signature image as JPEG of quality 75 in between, as the published examples do.

    Returns:
        The grey grid and Z.
    """
    height, width, _ = bgr.shape
    signature = signature_image(digest(bgr), height, width)
    if through_jpeg:
        buffer = io.BytesIO()
        Image.fromarray(signature).save(buffer, "JPEG", quality=75)
        buffer.seek(0)
        signature = np.asarray(Image.open(buffer).convert("RGB"))
    grey = grey_grid(signature)
    return grey, latent(grey)
