"""Files that the tests send: edited copies of sample pictures, unknown ones, and files that are none."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import FilePayload

from provenance.images import edits
from tests.e2e.site import ROOT
from tests.webapp.pictures import flat_png, pixels_of

SAMPLE = ROOT / "sample"


def payload(name: str, data: bytes) -> FilePayload:
    """Return a file as the browser's file field takes it."""
    media_type = "image/png" if name.endswith(".png") else "image/jpeg"
    return FilePayload(name=name, mimeType=media_type, buffer=data)


@cache
def edited(name: str, edit: str = "screenshot") -> bytes:
    """Return an edited copy of a sample picture as PNG."""
    with Image.open(SAMPLE / f"{name}.jpg") as picture:
        return png_of(edits.apply(edit, np.asarray(picture.convert("RGB")), seed=7))


def sample(name: str) -> bytes:
    """Return the bytes of a sample picture."""
    return (SAMPLE / f"{name}.jpg").read_bytes()


@cache
def unknown(seed: int = 4711) -> bytes:
    """Return a picture that nobody registered, with detail enough to be fingerprinted."""
    return png_of(pixels_of(seed, 480, 360))


def flat() -> bytes:
    """Return a picture too simple to be fingerprinted."""
    return flat_png()


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return pixels [H,W,3] uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
