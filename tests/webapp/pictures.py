"""Pictures made for tests: each seed gives another, rich enough in detail to be fingerprinted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter


def pixels_of(seed: int, width: int = 160, height: int = 120) -> npt.NDArray[np.uint8]:
    """Return [height,width,3] uint8: smooth coloured noise of several sizes, so that low frequencies differ."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (4, 8, 16):
        coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float) / 3
    return total.clip(0, 255).astype(np.uint8)


def jpeg(seed: int, quality: int = 90, **options: Any) -> bytes:
    """Return a JPEG of that seed's picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(seed)).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def png(seed: int, **options: Any) -> bytes:
    """Return a PNG of that seed's picture: other bytes than another compression's, but the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(seed)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def flat_png() -> bytes:
    """Return a picture of one colour: too simple to be fingerprinted."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 200, 30)).filter(ImageFilter.BLUR).save(buffer, "PNG")
    return buffer.getvalue()


def zip_of(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of these members, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
