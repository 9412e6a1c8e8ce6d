"""The plan of an import: one row for each picture that was sent and for each line of the table that has none."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp import files
from webapp.catalogues.archive import Archive, Entry, refusal_of
from webapp.catalogues.models import CatalogueImport, ImportRow, ImportSource, RowState
from webapp.catalogues.table import Table, TableRow, table_match, table_read
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, path_of
from webapp.jobs.models import Job
from webapp.jobs.services import hold_claim

_BATCH = 1000


def import_plan(*, catalogue_import: CatalogueImport, job: Job) -> None:
    """Write an import's rows and notes, all at once, so that a plan is whole or not there.

    Raises:
        ProductError: the archive or the table cannot be used.
        ClaimLost: the job is somebody else's.
    """
    if catalogue_import.source == ImportSource.ZIP:
        rows, table, notes = _rows_of_archive(catalogue_import)
    else:
        rows = list(catalogue_import.rows.order_by("index"))
        table, notes = _sent_table(catalogue_import), []
    missing = _apply_table(catalogue_import, rows, table)
    with transaction.atomic():
        hold_claim(job=job)
        if catalogue_import.source == ImportSource.ZIP:
            ImportRow.objects.bulk_create(rows, batch_size=_BATCH)
        else:
            ImportRow.objects.bulk_update(rows, ("metadata", "state", "code", "message"), batch_size=_BATCH)
        ImportRow.objects.bulk_create(missing, batch_size=_BATCH)
        catalogue_import.notes = [*notes, *table.notes]
        catalogue_import.planned_at = timezone.now()
        catalogue_import.save(update_fields=("notes", "planned_at"))


def archive_candidates(archive: Archive, name: str) -> list[Entry]:
    """Return an archive's entries that may be pictures: no folders, no hidden files, no tables.

    Raises:
        ProductError: there are none, or too many.
    """
    candidates = [entry for entry in archive.entries if not (entry.folder or entry.hidden or entry.table)]
    if not candidates:
        raise ProductError(ErrorCode.FILE_MISSING, _("“%(name)s” holds no pictures.") % {"name": name})
    if len(candidates) > settings.IMPORT_MAX_ROWS:
        raise ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("“%(name)s” holds %(count)d files; the limit is %(limit)d. Split it and send the parts.")
            % {"name": name, "count": len(candidates), "limit": settings.IMPORT_MAX_ROWS},
            status=413,
        )
    return candidates


def _rows_of_archive(catalogue_import: CatalogueImport) -> tuple[list[ImportRow], Table, list[str]]:
    try:
        archive = Archive(path_of(Area.IMPORTS, catalogue_import.upload_key), catalogue_import.upload_name)
    except FileNotFoundError as error:
        raise ProductError(
            ErrorCode.GONE, _("The uploaded archive has been deleted. Send it again as a new import."), status=410
        ) from error
    with archive:
        candidates = archive_candidates(archive, catalogue_import.upload_name)
        table, notes = _table_of_archive(catalogue_import, archive)
    notes += _ignored(archive.entries)
    first: dict[str, int] = {}
    rows = []
    for entry in candidates:
        row = ImportRow(
            catalogue_import=catalogue_import,
            index=entry.ordinal,
            filename=entry.name.rsplit("/", 1)[-1][-255:],
            member=entry.name[-1000:],
            byte_size=entry.size,
        )
        refusal = refusal_of(entry)
        if first.setdefault(entry.name, entry.ordinal) != entry.ordinal:
            refusal = ProductError(
                ErrorCode.CONFLICT,
                _("“%(name)s” is in the archive more than once; only the first one is read.") % {"name": entry.name},
            )
        if refusal:
            _refuse(row, refusal.code, str(refusal.message))
        rows.append(row)
    return rows, table, notes


def _sent_table(catalogue_import: CatalogueImport) -> Table:
    if not catalogue_import.csv_key:
        return Table()
    return table_read(files.read(Area.IMPORTS, catalogue_import.csv_key), catalogue_import.csv_name)


def _table_of_archive(catalogue_import: CatalogueImport, archive: Archive) -> tuple[Table, list[str]]:
    tables = [entry for entry in archive.entries if entry.table and not entry.hidden and not entry.folder]
    names = ", ".join(entry.name for entry in tables)
    if catalogue_import.csv_key:
        notes = [_("Tables inside the archive were not read, since another was sent: %(names)s.") % {"names": names}]
        return _sent_table(catalogue_import), notes if tables else []
    if len(tables) > 1:
        raise ProductError(
            ErrorCode.CSV_UNREADABLE,
            _("The archive holds more than one table: %(names)s. Leave one in it.") % {"names": names},
        )
    if not tables:
        return Table(), []
    return table_read(archive.read(tables[0]), tables[0].name), []


def _ignored(entries: Sequence[Entry]) -> list[str]:
    hidden = sum(entry.hidden and not entry.folder for entry in entries)
    if not hidden:
        return []
    sentence = ngettext("%(count)d hidden file was ignored.", "%(count)d hidden files were ignored.", hidden)
    return [sentence % {"count": hidden}]


def _apply_table(catalogue_import: CatalogueImport, rows: list[ImportRow], table: Table) -> list[ImportRow]:
    """Give rows what the table says of them; return rows for lines that fit no file."""
    usable = [line for line in table.rows if line.filename]
    matching = table_match(usable, [row.member or row.filename for row in rows])
    for position, line in matching.unclear.items():
        message = _("“%(file)s” in line %(line)d of the table fits several files; give the folder there too.")
        _refuse(rows[position], ErrorCode.CSV_UNREADABLE, message % {"file": line.filename, "line": line.line})
    for position, line in matching.found.items():
        if line.problem:
            _refuse(rows[position], ErrorCode.CSV_UNREADABLE, _line_problem(line))
        else:
            rows[position].metadata = line.values
    lost: list[ImportRow] = []
    for line in [*matching.missing, *(line for line in table.rows if not line.filename)]:
        row = ImportRow(
            catalogue_import=catalogue_import,
            index=(max((row.index for row in rows), default=0) + 1 + len(lost)),
            filename=line.filename[-255:],
            member=line.filename[-1000:],
            metadata=line.values,
        )
        if line.problem:
            _refuse(row, ErrorCode.CSV_UNREADABLE, _line_problem(line))
        else:
            message = _("Line %(line)d of the table names “%(file)s”, which was not sent.")
            _refuse(row, ErrorCode.CSV_MISSING_FILE, message % {"line": line.line, "file": line.filename})
        lost.append(row)
    return lost


def _line_problem(line: TableRow) -> str:
    return _("Line %(line)d of the table: %(problem)s") % {"line": line.line, "problem": line.problem}


def _refuse(row: ImportRow, code: ErrorCode, message: str) -> None:
    # What is wrong with the file itself was said first and stays.
    if row.state == RowState.PENDING:
        row.state, row.code, row.message = RowState.FAILED, str(code), message[:500]
