"""Works that are signed, and generators with a number."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from provenance.images.decode import encode_jpeg
from provenance.watermark.sign import sign
from tests.webapp.checks.conftest import Register, check_now, png, register, sample, submit
from tests.webapp.conftest import Cast
from webapp import files
from webapp.files import Area
from webapp.jobs.runner import execute
from webapp.registry.models import Work
from webapp.signatures.keys import payload_of
from webapp.signatures.models import SignatureCode
from webapp.signatures.services import generator_create, signing_begin
from webapp.signatures.signing import signed_key

__all__ = ["check_now", "register", "submit"]

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Signed:
    """A registered work, its code, and the bytes of its signed copy."""

    work: Work
    code: SignatureCode
    data: bytes


@pytest.fixture
def signed(cast: Cast, register: Register) -> Callable[..., Signed]:
    """Return what registers a sample picture and has it signed."""

    def run(name: str = "chelsea", **options: Any) -> Signed:
        work = register(name, **options)
        code = signing_begin(work=work, actor=cast.owner)
        execute(str(code.job_id))
        code = SignatureCode.objects.select_related("work", "organisation", "job").get(pk=code.pk)
        assert code.job is not None
        assert code.job.state == "succeeded", code.job.error_message
        return Signed(work, code, files.read(Area.SIGNATURES, signed_key(code)))

    return run


@pytest.fixture
def generator(cast: Cast) -> SignatureCode:
    """Return the code of a generator of the cast's organisation."""
    return generator_create(organisation=cast.organisation, name="Painter 1", actor=cast.owner)


def pixels(data: bytes) -> RGB:
    """Return the pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def made_by(code: SignatureCode, name: str = "calla") -> bytes:
    """Return a picture as the generator with this code would make it."""
    return png(sign(pixels(sample(name)), payload_of(code)))


def copied(signed: Signed, onto: str = "calla") -> bytes:
    """Return another picture, as a JPEG file, with what signing added to the work's put onto it, twice as strong."""
    difference = pixels(signed.data).astype(int) - pixels(files.read(Area.WORKS, signed.work.sha256))
    height, width = difference.shape[:2]
    base = np.asarray(Image.fromarray(pixels(sample(onto))).resize((width, height)))
    return encode_jpeg(np.clip(base + 2 * difference, 0, 255).astype(np.uint8), 95)


@cache
def plain() -> bytes:
    """Return a picture of one colour."""
    return png(np.full((200, 200, 3), 90, np.uint8))
