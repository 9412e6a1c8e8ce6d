"""Room for works: quotas, and the removal of what was deleted and of files that nothing uses."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp import files
from webapp.accounts.models import Organisation
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.registry.models import Deletion, Work
from webapp.registry.renditions import Size, rendition_key

log = logging.getLogger(__name__)

# The number that stands for "files of works" among PostgreSQL's advisory locks: the letters of "works".
_FILES_LOCK = 0x776F726B73
_BATCH = 200
_ORPHAN_SECONDS = 24 * 3600.0


def storage_used(organisation: Organisation) -> int:
    """Return the bytes of an organisation's registered files, those included whose deletion can be undone."""
    used = Work.objects.filter(organisation=organisation).aggregate(total=Sum("byte_size"))["total"]
    return int(used or 0)


def quota_error(*, organisation: Organisation, used: int, needed: int) -> ProductError:
    """Return the refusal of bytes that do not fit, which names what is used and the limit."""
    return ProductError(
        ErrorCode.QUOTA_EXCEEDED,
        _(
            "%(organisation)s uses %(used)s of its %(limit)s, and this needs %(needed)s. Delete pictures (they count"
            " for %(hours)d more hours, while that can be undone) or ask for more room."
        )
        % {
            "organisation": organisation.name,
            "used": filesizeformat(used),
            "limit": filesizeformat(organisation.storage_quota_bytes),
            "needed": filesizeformat(needed),
            "hours": settings.UNDO_HOURS,
        },
        status=413,
    )


def hold_files() -> None:
    """Keep files of works from being removed until the present transaction ends.

    Whoever registers holds this before a file is written and until its row is committed; else a removal that looks
    between the two finds a file that no row uses.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_FILES_LOCK])


def files_remove_unused(digests: Collection[str]) -> None:
    """Remove the files and copies with these SHA-256 that no work uses, live or deleted, of any organisation."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FILES_LOCK])
        used = set(Work.objects.filter(sha256__in=digests).values_list("sha256", flat=True))
        for sha256 in set(digests) - used:
            files.delete(Area.WORKS, sha256)
            for size in Size:
                files.delete(Area.DERIVED, rendition_key(sha256, size))


def works_purge() -> int:
    """Remove for good what was deleted longer ago than can be undone; return how many works that were."""
    cutoff = timezone.now() - timedelta(hours=settings.UNDO_HOURS)
    purged = 0
    while True:
        with transaction.atomic():
            batch = dict(
                Work.objects.select_for_update(skip_locked=True)
                .filter(deleted_at__lt=cutoff)
                .values_list("pk", "sha256")[:_BATCH]
            )
            Work.objects.filter(pk__in=batch).delete()
        if not batch:
            break
        # After the commit: were it rolled back, the works would live on without their files.
        files_remove_unused(set(batch.values()))
        purged += len(batch)
    Deletion.objects.filter(created_at__lt=cutoff, works=None).delete()
    if purged:
        log.info("purged %d works", purged)
    return purged


def files_sweep() -> None:
    """Remove, once a day, files that a killed process wrote for works that it never committed."""
    if not cache.add("registry.files_sweep", True, timeout=_ORPHAN_SECONDS):
        return
    files.remove_unfinished(Area.WORKS, _ORPHAN_SECONDS)
    files.remove_unfinished(Area.DERIVED, _ORPHAN_SECONDS)
    batch: set[str] = set()
    for key in files.keys_older_than(Area.WORKS, _ORPHAN_SECONDS):
        batch.add(key)
        if len(batch) == _BATCH:
            files_remove_unused(batch)
            batch = set()
    files_remove_unused(batch)
