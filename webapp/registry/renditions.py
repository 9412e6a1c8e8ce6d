"""The JPEG copies of a registered picture that leave the site. They carry pixels only: no camera data, no places.

They are made from pixels that a worker decoded anyway, so that showing a picture needs no decoder.
"""

from __future__ import annotations

import threading
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from django.conf import settings

from provenance.images.decode import Limits, decode, encode_jpeg, thumbnail
from webapp import files
from webapp.files import Area

RGB = npt.NDArray[np.uint8]


class Size(StrEnum):
    """Which copy: ``thumb`` for lists, ``full`` for looking closely."""

    THUMB = "thumb"
    FULL = "full"


MAX_SIDE = {Size.THUMB: 360, Size.FULL: 2048}
QUALITY = {Size.THUMB: 80, Size.FULL: 88}
# Remaking takes as much memory as the picture asks for; one at a time bounds it.
_remaking = threading.Lock()


def rendition_key(sha256: str, size: Size) -> str:
    """Return the storage key, in the area ``derived``, of that copy of the file with this digest."""
    return f"{sha256}-{size}.jpg"


def renditions_make(pixels: RGB) -> dict[Size, bytes]:
    """Return the JPEG bytes of every copy of a picture [H,W,3] uint8 sRGB."""
    full = thumbnail(pixels, MAX_SIDE[Size.FULL])
    thumb = thumbnail(full, MAX_SIDE[Size.THUMB])
    return {
        Size.FULL: encode_jpeg(full, QUALITY[Size.FULL]),
        Size.THUMB: encode_jpeg(thumb, QUALITY[Size.THUMB]),
    }


def rendition_read(sha256: str, size: Size) -> bytes:
    """Return a copy's JPEG bytes; copies that were lost are made again from the registered file.

    Raises:
        FileNotFoundError: the registered file itself is gone.
    """
    data = _read(sha256, size)
    if data:
        return data
    with _remaking:
        limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
        made = renditions_make(decode(files.read(Area.WORKS, sha256), limits).pixels)
        for other, data in made.items():
            files.write(Area.DERIVED, rendition_key(sha256, other), data, durable=False)
    return made[size]


def _read(sha256: str, size: Size) -> bytes:
    """Return a copy's bytes; none where it is gone, or empty after a power cut."""
    try:
        return files.read(Area.DERIVED, rendition_key(sha256, size))
    except FileNotFoundError:
        return b""
