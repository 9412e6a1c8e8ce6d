"""Tests of generators: a maker sends pictures and sees for each whether the generator's signature reads."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from provenance.models.errors import ModelError
from provenance.watermark.networks import networks
from webapp import files as store
from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, sha256_of
from webapp.jobs.models import Job
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.ratelimit import require
from webapp.signatures.models import PictureResult, ReadingTest, SignatureCode, TestPicture
from webapp.signatures.selectors import look
from webapp.signatures.signing import unavailable
from webapp.uploads import shown_name

TESTING = "signature_test"
_HOUR = 3600


def test_begin(*, code: SignatureCode, files: Sequence[UploadedFile[Any]], actor: User) -> ReadingTest:
    """Have pictures of a generator read. What is no picture is told of by itself, in its result.

    Raises:
        ProductError: no file, too many, one that is empty or too large, or too many pictures in this hour.
    """
    if not files:
        raise ProductError(ErrorCode.FILE_MISSING, _("Choose at least one picture that your generator has made."))
    if len(files) > settings.CHECK_MAX_FILES:
        raise ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("%(count)d files came; at most %(limit)d can be tested at once.")
            % {"count": len(files), "limit": settings.CHECK_MAX_FILES},
        )
    for upload in files:
        name = {"name": shown_name(upload.name), "limit": filesizeformat(settings.UPLOAD_MAX_BYTES)}
        if not upload.size:
            raise ProductError(ErrorCode.FILE_EMPTY, _("“%(name)s” is empty.") % name)
        if upload.size > settings.UPLOAD_MAX_BYTES:
            raise ProductError(
                ErrorCode.FILE_TOO_LARGE, _("“%(name)s” is larger than %(limit)s.") % name, status=413
            )
    require("check", f"user:{actor.pk}", limit=settings.CHECKS_PER_HOUR_USER, window=_HOUR, cost=len(files))
    test = ReadingTest(code=code)
    pictures = []
    for ordinal, upload in enumerate(files):
        upload.seek(0)
        data = upload.read()
        # A file of its own for each: removing one takes no other's away. What a killed request leaves is swept.
        key = f"{sha256_of(data)}-{test.pk.hex}_{ordinal}"
        store.write(Area.SIGNATURES, key, data)
        pictures.append(TestPicture(test=test, ordinal=ordinal, filename=shown_name(upload.name), file_key=key))
    with transaction.atomic():
        test.job = job_create(
            kind=TESTING,
            steps=[("reading", gettext_lazy("Reading the pictures"))],
            payload={"test": str(test.pk)},
            owner=actor,
            organisation=code.organisation,
        )
        test.save(force_insert=True)
        TestPicture.objects.bulk_create(pictures)
        audit(
            verb="generator.tested",
            obj=code,
            actor=actor,
            organisation=code.organisation,
            data={"pictures": len(pictures)},
        )
    return test


def test_run(*, test_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Read the pictures that have no result yet; each is deleted when it has one.

    Raises:
        ProductError: the networks are not here.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    test = ReadingTest.objects.select_related("code").get(pk=test_id)
    pictures = list(test.pictures.all())
    take_share_of_processors()
    try:
        # Loaded before memory is limited.
        networks()
    except ModelError as error:
        raise unavailable() from error
    for done, picture in enumerate(pictures):
        progress("reading", done, len(pictures), picture.filename)
        if picture.result == PictureResult.WAITING:
            _read(picture, test.code)
            with transaction.atomic():
                hold_claim(job=job)
                picture.save(update_fields=("result", "message", "reading"))
        store.delete(Area.SIGNATURES, picture.file_key)
    return True


def _read(picture: TestPicture, code: SignatureCode) -> None:
    """Put what the picture says into its row."""
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
    try:
        with memory_limit(settings.WORKER_MEMORY_BYTES):
            pixels = decode(store.read(Area.SIGNATURES, picture.file_key), limits).pixels
    except DecodeError as error:
        picture.result, picture.message = PictureResult.UNREADABLE, error.message[:300]
        return
    except FileNotFoundError:
        picture.result, picture.message = PictureResult.UNREADABLE, _("It was not read within a day. Send it again.")
        return
    pointer = look(pixels).pointer
    if pointer is None:
        picture.result = PictureResult.NONE
        picture.message = _("No signature of this site was found in it.")
        return
    picture.reading = pointer.placement()
    if pointer.code.pk == code.pk:
        picture.result = PictureResult.READ
    else:
        picture.result = PictureResult.ANOTHER
        picture.message = _("It has a genuine signature, but not this generator's.")
