"""What people and the clock do with checks: send pictures, take them back, let them expire."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from provenance.images.decode import MEDIA_TYPES, sniff
from webapp import files as store
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.checks.examiners import steps
from webapp.checks.extras import EXTRAS
from webapp.checks.models import Check
from webapp.checks.storage import delete_files, sweep, upload_key
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, sha256_of
from webapp.jobs.models import Job
from webapp.jobs.services import job_cancel, job_create
from webapp.ratelimit import require
from webapp.uploads import shown_name

JOB_KIND = "check"
_HOUR = 3600
_EXPIRE_AT_ONCE = 500
# As much as the longest magic of a format needs.
_HEAD_BYTES = 4096


def check_submit(
    *,
    files: Sequence[UploadedFile[Any]],
    owner: User | None = None,
    visitor_digest: str = "",
    organisation: Organisation | None = None,
    api_key: ApiKey | None = None,
    address: str = "",
    wanted: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Take pictures to be checked: all of them or, if one is refused, none.

    Args:
        files: one to ``CHECK_MAX_FILES`` files; they become one batch.
        owner, visitor_digest: who sends them, with an account or without.
        organisation: whose members may see the pictures too.
        api_key: the key that sent them; the API has counted its use, so that no limit is used up here.
        address: where an anonymous visitor comes from. Their hourly limit is counted by it, since whoever
            throws away the session's cookie is a new visitor.
        wanted: what else is wanted of each check, for :data:`webapp.checks.extras.EXTRAS`.

    Raises:
        ProductError: no file, too many, one that is empty, too large or no picture (``fields["files"]`` has one
            sentence for each, with its name), or too many checks in this hour.
    """
    if not files:
        raise ProductError(
            ErrorCode.FILE_MISSING, _("No file came with this. Choose at least one picture and send it again.")
        )
    if len(files) > settings.CHECK_MAX_FILES:
        raise ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("%(count)d files came; at most %(limit)d can be checked at once. Send them in smaller groups.")
            % {"count": len(files), "limit": settings.CHECK_MAX_FILES},
        )
    _use_limit(owner=owner, api_key=api_key, who=address or visitor_digest, cost=len(files))
    accepted = _validate(files)
    batch = uuid.uuid4()
    written: list[str] = []
    try:
        with transaction.atomic():
            checks = []
            for upload, media_type in accepted:
                checks.append(
                    _create(
                        upload,
                        media_type=media_type,
                        batch=batch,
                        owner=owner,
                        visitor_digest=visitor_digest,
                        organisation=organisation,
                        written=written,
                    )
                )
            for check in checks:
                for extra in EXTRAS:
                    extra.take(check=check, wanted=wanted or {}, owner=owner, api_key=api_key)
            audit(
                verb="check.submitted",
                obj=checks[0],
                actor=owner,
                api_key=api_key,
                organisation=organisation,
                data={"batch": str(batch), "checks": [str(check.pk) for check in checks]},
            )
    except BaseException:
        for key in written:
            store.delete(Area.CHECKS, key)
        raise
    return checks


def check_delete(*, check: Check, actor: User | None = None, api_key: ApiKey | None = None) -> Check:
    """Delete the uploaded picture and everything made from it; the verdict with its figures stays.

    A check that is still at work is cancelled. Deleting twice is fine.
    """
    with transaction.atomic():
        # The job first, as a worker locks it before the check: hold_claim, then its results.
        job = Job.objects.select_for_update().get(pk=check.job_id)
        check = Check.objects.select_for_update().get(pk=check.pk)
        if check.file_deleted_at is not None:
            return check
        if not job.is_final:
            job_cancel(job=job)
        _delete_files(check)
        audit(
            verb="check.upload_deleted",
            obj=check,
            actor=actor,
            api_key=api_key,
            organisation=check.organisation,
        )
    return check


def expire_files() -> int:
    """Delete the uploads whose time is over, with what was made from them; return how many.

    Also removes files of checks that nobody knows: a process that was killed between writing a file and its row
    leaves one. Called once a minute by the worker.
    """
    expired = 0
    with transaction.atomic():
        due = Check.objects.select_for_update(skip_locked=True).filter(
            expires_at__lte=timezone.now(), file_deleted_at=None
        )
        for check in due[:_EXPIRE_AT_ONCE]:
            _delete_files(check)
            expired += 1
    return expired + sweep()


def _delete_files(check: Check) -> None:
    """Remove the files and say so in the row, which the caller has locked.

    The files go before the commit: should it fail, the row promises too much for a minute, not the file.
    """
    delete_files(check)
    check.file_deleted_at = timezone.now()
    check.save(update_fields=("file_deleted_at",))


def _use_limit(*, owner: User | None, api_key: ApiKey | None, who: str, cost: int) -> None:
    if api_key is not None:
        return
    if owner is not None:
        require("check", f"user:{owner.pk}", limit=settings.CHECKS_PER_HOUR_USER, window=_HOUR, cost=cost)
    else:
        require("check", f"visitor:{who}", limit=settings.CHECKS_PER_HOUR_VISITOR, window=_HOUR, cost=cost)


def _validate(files: Sequence[UploadedFile[Any]]) -> list[tuple[UploadedFile[Any], str]]:
    """Return each file with its media type; refuse all when one is no good, with a sentence for each such."""
    accepted: list[tuple[UploadedFile[Any], str]] = []
    refusals: list[ProductError] = []
    for upload in files:
        try:
            accepted.append((upload, _media_type(upload)))
        except ProductError as refusal:
            refusals.append(refusal)
    if refusals:
        first, others = refusals[0], len(refusals) - 1
        message = str(first.message)
        if others:
            message += " " + ngettext(
                "%(n)d more file was refused too.", "%(n)d more files were refused too.", others
            ) % {"n": others}
        if len(files) > 1:
            message += " " + _("Nothing was checked: leave these out and send the others again.")
        sentences = [str(refusal.message) for refusal in refusals]
        raise ProductError(first.code, message, status=first.status, fields={"files": sentences})
    return accepted


def _media_type(upload: UploadedFile[Any]) -> str:
    """Return what the bytes say the file is; neither its name nor the sender's word for it is asked."""
    name = {"name": shown_name(upload.name)}
    size = upload.size or 0
    if not size:
        raise ProductError(
            ErrorCode.FILE_EMPTY, _("“%(name)s” is empty. Export it again, then send the new copy.") % name
        )
    if size > settings.UPLOAD_MAX_BYTES:
        raise ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("“%(name)s” has %(size)s and the limit is %(limit)s. Save it as JPEG or scale it down.")
            % {**name, "size": filesizeformat(size), "limit": filesizeformat(settings.UPLOAD_MAX_BYTES)},
            status=413,
        )
    upload.seek(0)
    found = sniff(upload.read(_HEAD_BYTES))
    if found is None:
        raise ProductError(
            ErrorCode.PICTURE_UNREADABLE,
            _("“%(name)s” is no picture that we can read. Send JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.") % name,
            status=415,
        )
    return MEDIA_TYPES[found]


def _create(
    upload: UploadedFile[Any],
    *,
    media_type: str,
    batch: uuid.UUID,
    owner: User | None,
    visitor_digest: str,
    organisation: Organisation | None,
    written: list[str],
) -> Check:
    upload.seek(0)
    data = upload.read()
    check_id = uuid.uuid4()
    sha256 = sha256_of(data)
    key = upload_key(sha256=sha256, check_id=check_id)
    written.append(key)
    store.write(Area.CHECKS, key, data)
    job = job_create(
        kind=JOB_KIND,
        steps=steps(),
        payload={"check": str(check_id)},
        owner=owner,
        organisation=organisation,
        visitor_digest=visitor_digest,
        watched_by_link=True,
    )
    check = Check(
        id=check_id,
        batch=batch,
        job=job,
        owner=owner,
        organisation=organisation,
        visitor_digest=visitor_digest,
        filename=shown_name(upload.name),
        file_key=key,
        sha256=sha256,
        byte_size=len(data),
        media_type=media_type,
        expires_at=timezone.now() + timedelta(hours=settings.CHECK_RETENTION_HOURS),
    )
    # The versions come with the verdict.
    check.full_clean(exclude={"algorithms"})
    check.save(force_insert=True)
    return check
