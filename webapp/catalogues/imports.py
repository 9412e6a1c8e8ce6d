"""What people do with imports: start, run for real after a dry run, resume, and take back as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings
from django.core.files.base import File
from django.db import transaction
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from webapp import files as storage
from webapp.accounts.models import ApiKey, User
from webapp.accounts.services import audit
from webapp.catalogues.archive import Archive
from webapp.catalogues.importer import RETRYABLE
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow, ImportSource, RowState
from webapp.catalogues.plan import archive_candidates
from webapp.catalogues.selectors import import_works
from webapp.catalogues.table import TABLE_MAX_BYTES, details_problem, table_read
from webapp.catalogues.uploads import require_room_for_upload, upload_delete, upload_name, upload_store
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, path_of
from webapp.jobs.models import Job
from webapp.jobs.services import job_create
from webapp.ratelimit import require
from webapp.registry.models import Deletion
from webapp.registry.services import works_delete

STEPS = (("reading", gettext_lazy("Reading the upload")), ("pictures", gettext_lazy("Pictures")))
# A picture that kills the process is refused at its fourth death; the import itself must outlive that.
_MAX_FAILURES = 6


def import_create(
    *,
    catalogue: Catalogue,
    archive: File[bytes] | None = None,
    files: Sequence[File[bytes]] = (),
    table: File[bytes] | None = None,
    details: Sequence[Mapping[str, str]] = (),
    dry_run: bool = False,
    started_by: User | None,
    api_key: ApiKey | None = None,
) -> CatalogueImport:
    """Keep what was sent and start its import.

    Args:
        archive: a ZIP archive; or
        files: pictures, each with its name; one that is too large becomes a refused row.
        table: CSV of titles (see :func:`webapp.catalogues.table.table_read`).
        details: for each of ``files``, columns of the table that are known without one.
        dry_run: say what would happen and register nothing.

    Raises:
        ProductError: there is nothing to import, it is too much, too many came in this hour, or the archive or the
            table cannot be read.
    """
    if catalogue.is_private:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("This catalogue is private: it takes no pictures in clear. Its own page says how it is filled."),
            status=409,
        )
    if started_by is not None and api_key is None:
        require("import", f"user:{started_by.pk}", limit=settings.IMPORTS_PER_HOUR_USER, window=3600)
    _require_within_limits(archive, files)
    sent = [upload for upload in (archive, table, *files) if upload is not None]
    size = sum(upload.size for upload in sent)
    require_room_for_upload(catalogue.organisation, size)
    if table is not None:
        table.seek(0)
        table_read(table.read(TABLE_MAX_BYTES + 1), upload_name(table))
    for values in details:
        if problem := details_problem(dict(values)):
            raise ProductError(ErrorCode.INVALID, problem)
    catalogue_import = CatalogueImport(
        catalogue=catalogue,
        started_by=started_by,
        source=ImportSource.ZIP if archive is not None else ImportSource.FILES,
        upload_name=upload_name(archive) if archive is not None else _names(files),
        upload_bytes=size,
        dry_run=dry_run,
    )
    stored: list[str] = []
    try:
        if archive is not None:
            catalogue_import.upload_key = upload_store(archive)
            stored.append(catalogue_import.upload_key)
            with Archive(path_of(Area.IMPORTS, catalogue_import.upload_key), catalogue_import.upload_name) as opened:
                archive_candidates(opened, catalogue_import.upload_name)
        if table is not None:
            catalogue_import.csv_key, catalogue_import.csv_name = upload_store(table), upload_name(table)
            stored.append(catalogue_import.csv_key)
        rows = [_row(catalogue_import, index, upload, stored) for index, upload in enumerate(files)]
        for row, values in zip(rows, details, strict=False):
            row.metadata = {name: value for name, value in values.items() if value}
        with transaction.atomic():
            catalogue_import.job = _job_create(catalogue_import, started_by)
            catalogue_import.save()
            ImportRow.objects.bulk_create(rows)
            audit(
                verb="import.started",
                obj=catalogue_import,
                actor=started_by,
                api_key=api_key,
                organisation=catalogue.organisation,
                data={"catalogue": str(catalogue.pk), "upload": catalogue_import.upload_name, "dry_run": dry_run},
            )
    except BaseException:
        for key in stored:
            storage.delete(Area.IMPORTS, key)
        raise
    return catalogue_import


@transaction.atomic
def import_run_for_real(*, catalogue_import: CatalogueImport, actor: User | None) -> CatalogueImport:
    """Register what a dry run found to be good, from the same upload.

    Raises:
        ProductError: it is no dry run, is not over, or its upload was deleted.
    """
    catalogue_import = _lock(catalogue_import)
    if not catalogue_import.dry_run:
        raise ProductError(ErrorCode.CONFLICT, _("This import was not a dry run."), status=409)
    catalogue_import.dry_run = False
    # What was a duplicate or had no room may not be one now; what the file itself is will not have changed.
    again = catalogue_import.rows.exclude(state=RowState.FAILED) | catalogue_import.rows.filter(code__in=RETRYABLE)
    return _start_again(catalogue_import, again, "import.run", actor)


@transaction.atomic
def import_resume(*, catalogue_import: CatalogueImport, actor: User | None) -> CatalogueImport:
    """Do the rows that were left when an import ended early, and those whose refusal may not hold any more.

    Raises:
        ProductError: nothing is left, it is not over, or its upload was deleted.
    """
    catalogue_import = _lock(catalogue_import)
    again = catalogue_import.rows.filter(state=RowState.PENDING) | catalogue_import.rows.filter(code__in=RETRYABLE)
    if not again.exists() and catalogue_import.planned_at:
        raise ProductError(ErrorCode.CONFLICT, _("Nothing is left to do in this import."), status=409)
    return _start_again(catalogue_import, again, "import.resumed", actor)


@transaction.atomic
def import_delete(*, catalogue_import: CatalogueImport, actor: User | None) -> Deletion:
    """Delete the works that an import registered, as one act, which can be undone.

    Raises:
        ProductError: it is not over, or none of its works is left.
    """
    catalogue_import = _lock(catalogue_import)
    works = import_works(catalogue_import)
    if not works.exists():
        raise ProductError(ErrorCode.CONFLICT, _("No picture of this import is registered."), status=409)
    return works_delete(
        works=works,
        organisation=catalogue_import.catalogue.organisation,
        label=_("Import “%(upload)s” into “%(catalogue)s”")
        % {"upload": catalogue_import.upload_name, "catalogue": catalogue_import.catalogue.name},
        actor=actor,
    )


@transaction.atomic
def import_discard(*, catalogue_import: CatalogueImport, actor: User | None) -> None:
    """Delete what was sent for an import that will not be resumed; what it registered stays.

    Raises:
        ProductError: it is not over.
    """
    catalogue_import = _lock(catalogue_import)
    if catalogue_import.upload_deleted_at is None:
        upload_delete(catalogue_import)
        audit(
            verb="import.discarded",
            obj=catalogue_import,
            actor=actor,
            organisation=catalogue_import.catalogue.organisation,
        )


def _require_within_limits(archive: File[bytes] | None, files: Sequence[File[bytes]]) -> None:
    if (archive is None) == (not files):
        raise ProductError(ErrorCode.FILE_MISSING, _("Send a ZIP archive or pictures."))
    if len(files) > settings.IMPORT_MAX_FILES:
        raise ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("%(count)d files came; the limit is %(limit)d. Pack them into a ZIP archive and send that.")
            % {"count": len(files), "limit": settings.IMPORT_MAX_FILES},
            status=413,
        )
    size = archive.size if archive is not None else sum(upload.size for upload in files)
    if size > settings.IMPORT_MAX_BYTES:
        raise ProductError(
            ErrorCode.ARCHIVE_TOO_LARGE if archive is not None else ErrorCode.FILE_TOO_LARGE,
            _("The upload has %(size)s; the limit is %(limit)s. Split it and send the parts.")
            % {"size": filesizeformat(size), "limit": filesizeformat(settings.IMPORT_MAX_BYTES)},
            status=413,
        )


def _row(catalogue_import: CatalogueImport, index: int, upload: File[bytes], stored: list[str]) -> ImportRow:
    row = ImportRow(catalogue_import=catalogue_import, index=index, filename=upload_name(upload), byte_size=upload.size)
    if upload.size > settings.UPLOAD_MAX_BYTES:
        row.state, row.code = RowState.FAILED, str(ErrorCode.FILE_TOO_LARGE)
        row.message = _("The file has %(size)s; the limit for one file is %(limit)s.") % {
            "size": filesizeformat(upload.size),
            "limit": filesizeformat(settings.UPLOAD_MAX_BYTES),
        }
    else:
        row.file_key = upload_store(upload)
        stored.append(row.file_key)
    return row


def _names(files: Sequence[File[bytes]]) -> str:
    if len(files) == 1:
        return upload_name(files[0])
    return ngettext("%(count)d file", "%(count)d files", len(files)) % {"count": len(files)}


def _job_create(catalogue_import: CatalogueImport, owner: User | None) -> Job:
    job = job_create(
        kind="import",
        steps=STEPS,
        payload={"import": str(catalogue_import.pk)},
        owner=owner,
        organisation=catalogue_import.catalogue.organisation,
    )
    job.max_failures = _MAX_FAILURES
    job.save(update_fields=("max_failures",))
    return job


def _lock(catalogue_import: CatalogueImport) -> CatalogueImport:
    locked = (
        CatalogueImport.objects.select_for_update(of=("self",))
        .select_related("catalogue__organisation", "job")
        .get(pk=catalogue_import.pk)
    )
    if not locked.job.is_final:
        raise ProductError(
            ErrorCode.CONFLICT, _("This import is still running. Wait for it, or cancel it first."), status=409
        )
    if locked.catalogue.deleted_at:
        raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
    return locked


def _start_again(
    catalogue_import: CatalogueImport, rows: QuerySet[ImportRow], verb: str, actor: User | None
) -> CatalogueImport:
    if catalogue_import.upload_deleted_at:
        raise ProductError(
            ErrorCode.GONE, _("The uploaded files have been deleted. Send them again as a new import."), status=410
        )
    ImportRow.objects.filter(pk__in=rows.values("pk")).update(
        state=RowState.PENDING, code="", message="", tries=0, work=None
    )
    catalogue_import.job = _job_create(catalogue_import, actor)
    catalogue_import.save(update_fields=("job", "dry_run"))
    audit(verb=verb, obj=catalogue_import, actor=actor, organisation=catalogue_import.catalogue.organisation)
    return catalogue_import
