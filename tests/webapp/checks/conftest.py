"""Registered pictures, uploads, and checks done in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from provenance.images import edits
from provenance.images.decode import decode, encode_jpeg
from tests.webapp.conftest import Cast
from webapp.accounts.models import Organisation
from webapp.checks.models import Check
from webapp.checks.services import check_submit
from webapp.jobs.runner import execute
from webapp.registry.fingerprints import descriptors_of, fingerprints_of
from webapp.registry.models import Visibility, Work
from webapp.registry.services import work_register

RGB = npt.NDArray[np.uint8]
SAMPLE = Path(__file__).resolve().parents[3] / "sample"


@cache
def sample(name: str) -> bytes:
    """Return a picture file of the sample catalogue."""
    return (SAMPLE / f"{name}.jpg").read_bytes()


@cache
def edited(name: str, preset: str) -> bytes:
    """Return a sample picture as somebody might repost it, as a JPEG file."""
    return encode_jpeg(edits.apply(preset, decode(sample(name)).pixels, seed=1))


@cache
def flat() -> bytes:
    """Return a picture of one colour, as a PNG file."""
    return png(np.full((64, 64, 3), 200, dtype=np.uint8))


def png(pixels: RGB) -> bytes:
    """Return pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(data: bytes, name: str = "picture.jpg") -> SimpleUploadedFile:
    """Return a file as a form brings it."""
    return SimpleUploadedFile(name, data, content_type="image/jpeg")


Register = Callable[..., Work]
Submit = Callable[..., Check]


@pytest.fixture
def register(cast: Cast) -> Register:
    """Return what registers a sample picture, for the cast's organisation unless another is given."""

    def run(
        name: str,
        *,
        organisation: Organisation | None = None,
        visibility: str = Visibility.PUBLIC,
        data: bytes | None = None,
    ) -> Work:
        content = data if data is not None else sample(name)
        picture = decode(content)
        work, _created = work_register(
            organisation=organisation or cast.organisation,
            picture=picture,
            data=content,
            fingerprints=fingerprints_of(picture.pixels),
            descriptors=descriptors_of(picture.pixels),
            title=name,
            visibility=visibility,
            registered_by=cast.owner,
        )
        return work

    return run


@pytest.fixture
def submit(cast: Cast) -> Submit:
    """Return what sends one picture to be checked, as the owner unless somebody else is given."""

    def run(data: bytes, name: str = "picture.jpg", **who: Any) -> Check:
        (check,) = check_submit(files=[upload(data, name)], **(who or {"owner": cast.owner}))
        return check

    return run


@pytest.fixture
def check_now(submit: Submit) -> Submit:
    """Return what sends one picture and does its check."""

    def run(data: bytes, name: str = "picture.jpg", **who: Any) -> Check:
        check = submit(data, name, **who)
        execute(str(check.job_id))
        return Check.objects.select_related("job").get(pk=check.pk)

    return run
