"""The import job: first a plan of one row for each picture, then slices that register them.

Everything that a slice finds out is written in one transaction with the works that it registers, fenced by the job's
claim. So a process may die at any time: its rows are still pending and somebody else does them.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from os import cpu_count
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F
from django.utils.translation import gettext as _

from provenance.images.decode import DecodeError, DecodeErrorCode, Limits, Picture, decode, memory_limit
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.accounts.services import audit
from webapp.catalogues.archive import Archive
from webapp.catalogues.judge import Refusal, rows_judge
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow, ImportSource, RowState
from webapp.catalogues.plan import import_plan
from webapp.catalogues.uploads import upload_delete
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, path_of, sha256_of
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim
from webapp.registry.fingerprints import descriptors_of, fingerprints_of, hashers_load
from webapp.registry.models import Work
from webapp.registry.services import WorkDetails, WorkDraft, work_draft, works_alike

SLICE_SECONDS = 3.0
CHUNK_ROWS = 32
CHUNK_BYTES = 48 * 1024**2
# While more pixels than these are being hashed, nothing more is decoded: both take memory.
PIXELS_IN_HAND = 24_000_000
# A row that was in hand so often when the process died is tried alone, and once more so often is refused.
TRIES_TOGETHER = 2
TRIES_IN_ALL = 3
# What may be different at another try, and so keeps the upload.
RETRYABLE = (str(ErrorCode.QUOTA_EXCEEDED), str(ErrorCode.WORKER_LOST))

_CODES = {
    DecodeErrorCode.EMPTY: ErrorCode.FILE_EMPTY,
    DecodeErrorCode.TOO_LARGE_BYTES: ErrorCode.FILE_TOO_LARGE,
    DecodeErrorCode.UNKNOWN_FORMAT: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
}


def import_run(*, import_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Do the next slice of an import; return whether nothing is left to do.

    Raises:
        ProductError: the upload as a whole cannot be imported.
    """
    catalogue_import = CatalogueImport.objects.select_related("catalogue__organisation", "started_by").get(pk=import_id)
    if catalogue_import.planned_at is None:
        progress("reading")
        import_plan(catalogue_import=catalogue_import, job=job)
    pending = catalogue_import.rows.filter(state=RowState.PENDING)
    if not pending.exists():
        _finish(catalogue_import, job)
        return True
    total = catalogue_import.rows.count()
    began, before = time.monotonic(), total - pending.count()
    with _Pictures(catalogue_import) as pictures:
        while True:
            done = total - pending.count()
            progress("pictures", done, total, _so_far(catalogue_import, done - before, time.monotonic() - began))
            chunk = _next_chunk(pending)
            if not chunk:
                _finish(catalogue_import, job)
                return True
            if chunk[0].tries >= TRIES_IN_ALL:
                _refuse_lost(chunk[0], job)
                # Handing back forgives the losses, so that several such rows do not add up to a failed import.
                return False
            _do_chunk(catalogue_import, chunk, pictures, job)
            if time.monotonic() >= began + SLICE_SECONDS:
                return False


class _Pictures:
    """The bytes of an import's pictures."""

    def __init__(self, catalogue_import: CatalogueImport) -> None:
        self._import = catalogue_import
        self._archive: Archive | None = None

    def __enter__(self) -> _Pictures:
        if self._import.source == ImportSource.ZIP:
            try:
                self._archive = Archive(path_of(Area.IMPORTS, self._import.upload_key), self._import.upload_name)
            except FileNotFoundError as error:
                raise _upload_gone() from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self._archive:
            self._archive.__exit__(None, None, None)

    def read(self, row: ImportRow) -> bytes | Refusal:
        """Return the row's picture file, or why it cannot be had."""
        try:
            if self._archive:
                return self._archive.read(self._archive.entries[row.index])
            return files.read(Area.IMPORTS, row.file_key)
        except ProductError as error:
            return Refusal(str(error.code), str(error.message))
        except FileNotFoundError as error:
            raise _upload_gone() from error


def _next_chunk(pending: Any) -> list[ImportRow]:
    """Return the rows to do next: together as long as none of them was in hand when a process died twice."""
    chunk: list[ImportRow] = []
    size = 0
    for row in pending.order_by("index")[:CHUNK_ROWS]:
        alone = row.tries >= TRIES_TOGETHER
        size += row.byte_size
        if chunk and (alone or size > CHUNK_BYTES):
            break
        chunk.append(row)
        if alone:
            break
    return chunk


def _refuse_lost(row: ImportRow, job: Job) -> None:
    with transaction.atomic():
        hold_claim(job=job)
        row.state = RowState.FAILED
        row.code = str(ErrorCode.WORKER_LOST)
        row.message = _("The program stopped each time it came to this picture. Save it anew and send it again.")
        row.save(update_fields=("state", "code", "message"))


def _do_chunk(catalogue_import: CatalogueImport, chunk: list[ImportRow], pictures: _Pictures, job: Job) -> None:
    with transaction.atomic():
        hold_claim(job=job)
        # Before anything is read or decoded: what kills this process must find its rows marked.
        ImportRow.objects.filter(pk__in=[row.pk for row in chunk]).update(tries=F("tries") + 1)
    prepared = _prepare(catalogue_import, chunk, pictures)
    with transaction.atomic():
        hold_claim(job=job)
        catalogue = Catalogue.objects.select_for_update(no_key=True).get(pk=catalogue_import.catalogue_id)
        if catalogue.deleted_at:
            raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
        rows_judge(catalogue_import, catalogue, chunk, prepared)
        ImportRow.objects.bulk_update(
            chunk, ("state", "code", "message", "byte_size", "sha256", "pixel_sha256", "work")
        )


# --- Bytes to drafts: no database but one look for files that are known ---


def _prepare(
    catalogue_import: CatalogueImport, chunk: list[ImportRow], pictures: _Pictures
) -> list[WorkDraft | Work | Refusal]:
    """Return for each row a draft, the work that its file is already, or a refusal."""
    data = [pictures.read(row) for row in chunk]
    for row, content in zip(chunk, data, strict=True):
        if isinstance(content, bytes):
            row.byte_size, row.sha256 = len(content), sha256_of(content)
    # A file that is registered needs no decoding: an import sent twice costs little.
    known, _by_pixels = works_alike(
        organisation=catalogue_import.catalogue.organisation,
        sha256={row.sha256 for row in chunk if row.sha256},
        pixel_sha256=set(),
    )
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
    hashers_load()
    futures: list[Future[WorkDraft] | Work | Refusal] = []
    in_hand: list[tuple[Future[WorkDraft], int]] = []
    with (
        ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="import") as pool,
        memory_limit(settings.WORKER_MEMORY_BYTES),
    ):
        for row, content in zip(chunk, data, strict=True):
            if isinstance(content, Refusal):
                futures.append(content)
                continue
            if row.sha256 in known:
                futures.append(known[row.sha256])
                continue
            try:
                picture = decode(content, limits)
            except DecodeError as error:
                futures.append(Refusal(str(_CODES.get(error.code, ErrorCode.PICTURE_UNREADABLE)), error.message))
                continue
            future = pool.submit(_draft, row, content, picture)
            futures.append(future)
            in_hand.append((future, picture.pixels.size // 3))
            del picture
            while sum(pixels for _future, pixels in in_hand) > PIXELS_IN_HAND:
                in_hand.pop(0)[0].exception()
        return [_result(future) if isinstance(future, Future) else future for future in futures]


def _draft(row: ImportRow, data: bytes, picture: Picture) -> WorkDraft:
    return work_draft(
        data=data,
        picture=picture,
        fingerprints=fingerprints_of(picture.pixels),
        descriptors=descriptors_of(picture.pixels),
        details=_details(row),
    )


def _result(future: Future[WorkDraft]) -> WorkDraft | Refusal:
    try:
        return future.result()
    except MemoryError:
        return Refusal(
            str(ErrorCode.PICTURE_UNREADABLE),
            _("The picture needs more memory than is allowed here. Scale it down, then send it again."),
        )


def _details(row: ImportRow) -> WorkDetails:
    stem = row.filename.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    values = {"title": (stem or row.filename)[:200], **row.metadata}
    return WorkDetails(**values)


def _so_far(catalogue_import: CatalogueImport, done: int, seconds: float) -> str:
    """Say what became of the rows up to now, and how fast the last ones went."""
    counts = dict(catalogue_import.rows.order_by().values_list("state").annotate(Count("pk")))
    good = counts.get(RowState.REGISTERED, 0) + counts.get(RowState.VALID, 0)
    words = _("%(good)d new, %(duplicates)d duplicates, %(refused)d refused") % {
        "good": good,
        "duplicates": counts.get(RowState.DUPLICATE, 0),
        "refused": counts.get(RowState.FAILED, 0),
    }
    return words + (_("; %(rate).1f pictures a second") % {"rate": done / seconds} if done else "")


def _finish(catalogue_import: CatalogueImport, job: Job) -> None:
    """Write the import's audit entry and delete what was sent, unless it is needed again."""
    with transaction.atomic():
        hold_claim(job=job)
        verb = "import.checked" if catalogue_import.dry_run else "import.finished"
        written = AuditEntry.objects.filter(object_id=str(catalogue_import.pk), verb=verb, data__job=str(job.pk))
        # A process may have died between this entry and the job's end.
        if not written.exists():
            counts = dict(catalogue_import.rows.order_by().values_list("state").annotate(Count("pk")))
            audit(
                verb=verb,
                obj=catalogue_import,
                actor=catalogue_import.started_by,
                organisation=catalogue_import.catalogue.organisation,
                data={"counts": counts, "job": str(job.pk)},
            )
    if not catalogue_import.dry_run and not catalogue_import.rows.filter(code__in=RETRYABLE).exists():
        upload_delete(catalogue_import)


def _upload_gone() -> ProductError:
    return ProductError(
        ErrorCode.GONE, _("The uploaded files have been deleted. Send them again as a new import."), status=410
    )
