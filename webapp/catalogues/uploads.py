"""What people send to be imported: kept until the import is done or its time is over, under names of our own."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.files.base import File
from django.db.models import Q, Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp import files
from webapp.accounts.models import Organisation
from webapp.catalogues.archive import clean_name
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job

_ORPHAN_SECONDS = 24 * 3600.0
_SWEEP_SECONDS = 3600
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


@dataclass(frozen=True)
class Sorted:
    """Files that were dropped together, by what they are."""

    archive: File[bytes] | None
    table: File[bytes] | None
    pictures: list[File[bytes]]


def uploads_sort(uploads: Sequence[File[bytes]]) -> Sorted:
    """Tell the archive and the table among files from the pictures: a ZIP by its first bytes, a table by its name.

    Raises:
        ProductError: there is nothing, or more than one archive or table, or an archive and pictures beside it.
    """
    archives, tables, pictures = [], [], []
    for upload in uploads:
        if re.search(r"\.(csv|tsv)$", upload.name or "", re.IGNORECASE):
            tables.append(upload)
        elif _is_zip(upload):
            archives.append(upload)
        else:
            pictures.append(upload)
    if len(tables) > 1:
        raise ProductError(ErrorCode.INVALID, _("Send one table; %(count)d came.") % {"count": len(tables)})
    if len(archives) > 1 or (archives and pictures):
        raise ProductError(ErrorCode.INVALID, _("Send one ZIP archive or pictures, not both together."))
    if not archives and not pictures:
        raise ProductError(ErrorCode.FILE_MISSING, _("Choose a ZIP archive or pictures."))
    return Sorted(archives[0] if archives else None, tables[0] if tables else None, pictures)


def _is_zip(upload: File[bytes]) -> bool:
    upload.seek(0)
    start = upload.read(4)
    upload.seek(0)
    return start.startswith(_ZIP_MAGIC) or bool(re.search(r"\.zip$", upload.name or "", re.IGNORECASE))


def upload_name(upload: File[bytes]) -> str:
    """Return the name under which a file was sent, fit to be shown and stored."""
    return clean_name(upload.name or "").rsplit("/", 1)[-1][-255:] or _("unnamed")


def upload_store(upload: File[bytes]) -> str:
    """Keep a file in the area ``imports``; return its key."""
    key = uuid.uuid4().hex
    upload.seek(0)
    files.write_chunks(Area.IMPORTS, key, upload.chunks())
    return key


def upload_keys(catalogue_import: CatalogueImport) -> set[str]:
    """Return the storage keys of all that was sent for an import."""
    rows = catalogue_import.rows.exclude(file_key="").values_list("file_key", flat=True)
    return {key for key in (catalogue_import.upload_key, catalogue_import.csv_key, *rows) if key}


def upload_delete(catalogue_import: CatalogueImport) -> None:
    """Delete what was sent for an import; a second time changes nothing."""
    for key in upload_keys(catalogue_import):
        files.delete(Area.IMPORTS, key)
    CatalogueImport.objects.filter(pk=catalogue_import.pk, upload_deleted_at=None).update(
        upload_deleted_at=timezone.now()
    )


def require_room_for_upload(organisation: Organisation, needed: int) -> None:
    """Hold what waits to be imported to as much as the organisation may register, or one largest upload.

    Raises:
        ProductError: it would be more.
    """
    waiting = CatalogueImport.objects.filter(catalogue__organisation=organisation, upload_deleted_at=None)
    used = waiting.aggregate(total=Sum("upload_bytes"))["total"] or 0
    limit = max(organisation.storage_quota_bytes, settings.IMPORT_MAX_BYTES)
    if used + needed > limit:
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED,
            _(
                "Uploads of %(used)s wait to be imported, this one has %(needed)s, and the limit is %(limit)s."
                " Finish or delete earlier imports first."
            )
            % {
                "used": filesizeformat(used),
                "needed": filesizeformat(needed),
                "limit": filesizeformat(limit),
            },
            status=413,
        )


def uploads_expire() -> int:
    """Delete what was sent for imports that ended longer ago than they are kept; return how many."""
    cutoff = timezone.now() - timedelta(hours=settings.UNDO_HOURS)
    expired = CatalogueImport.objects.filter(
        upload_deleted_at=None, job__state__in=FINAL_STATES, job__finished_at__lt=cutoff
    )
    count = 0
    for catalogue_import in expired.iterator():
        upload_delete(catalogue_import)
        count += 1
    return count


def catalogues_purge() -> int:
    """Remove for good the catalogues that were deleted longer ago than can be undone; return how many.

    Their works are purged by the registry, at the same age.
    """
    cutoff = timezone.now() - timedelta(hours=settings.UNDO_HOURS)
    count = 0
    for catalogue in Catalogue.objects.filter(deleted_at__lt=cutoff):
        for catalogue_import in catalogue.imports.all():
            upload_delete(catalogue_import)
        # The imports go with their jobs.
        Job.objects.filter(catalogue_import__catalogue=catalogue).delete()
        catalogue.delete()
        count += 1
    return count


def uploads_sweep() -> None:
    """Remove, once an hour, old files that no import knows: their request was killed before it could say so."""
    if not cache.add("catalogues.uploads_sweep", True, timeout=_SWEEP_SECONDS):
        return
    files.remove_unfinished(Area.IMPORTS, _ORPHAN_SECONDS)
    for key in files.keys_older_than(Area.IMPORTS, _ORPHAN_SECONDS):
        known = CatalogueImport.objects.filter(Q(upload_key=key) | Q(csv_key=key)).exists()
        if not known and not ImportRow.objects.filter(file_key=key).exists():
            files.delete(Area.IMPORTS, key)
