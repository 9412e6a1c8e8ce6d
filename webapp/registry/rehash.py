"""Hashes or descriptors of a new algorithm for works that were registered before it, by a job that may be killed at any
time and goes on by itself.

Until it is done those works are found by the algorithms that they have; both versions are searched meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from os import cpu_count

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import DecodeError, Limits, decode
from webapp import files
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.registry.fingerprints import hashers_load
from webapp.registry.models import Descriptor, Rehash, Work
from webapp.registry.models import Fingerprint as FingerprintRow
from webapp.registry.services import descriptor_rows, fingerprint_row

log = logging.getLogger(__name__)

SLICE_SECONDS = 3.0
BATCH = 32
# A job that failed is followed by another after this time: what stopped it may have been mended.
AGAIN_AFTER = timedelta(hours=1)


def rehashes_begin() -> int:
    """Begin what is owed: one job for each algorithm that came after works did; return how many were begun."""
    begun = 0
    done = set(Rehash.objects.exclude(finished_at=None).values_list("algorithm", flat=True))
    for algorithm in (*HASHERS, DESCRIPTOR.algorithm):
        if algorithm not in done:
            begun += _begin(algorithm)
    return begun


@transaction.atomic
def _begin(algorithm: str) -> bool:
    try:
        with transaction.atomic():
            rehash, _created = Rehash.objects.select_for_update().get_or_create(algorithm=algorithm)
    except IntegrityError:
        # Another process began it in this moment.
        return False
    if rehash.finished_at is not None:
        return False
    job = rehash.job
    if job is not None and (job.state not in FINAL_STATES or job.updated_at > timezone.now() - AGAIN_AFTER):
        return False
    if not _left(rehash).exists():
        rehash.finished_at = timezone.now()
        rehash.save(update_fields=("finished_at",))
        return False
    rehash.job = job_create(
        kind="rehash", steps=[("pictures", gettext_lazy("Hashing"))], payload={"algorithm": algorithm}
    )
    rehash.save(update_fields=("job",))
    return True


def rehash_run(*, algorithm: str, job: Job, progress: Progress) -> bool:
    """Hash the next works; return whether none is left.

    Raises:
        JobCancelled: somebody asked for it to stop.
        ClaimLost: another process does it now.
    """
    rehash = Rehash.objects.get(pk=algorithm)
    if algorithm not in (*HASHERS, DESCRIPTOR.algorithm):
        # An older program does not know it: whoever does will begin it again.
        return True
    total = rehash.looked_at + _left(rehash).count()
    began, before = time.monotonic(), rehash.looked_at
    while True:
        spent = time.monotonic() - began
        rate = (rehash.looked_at - before) / spent if spent > 0.5 else 0
        note = _("%(rate).1f pictures a second") % {"rate": rate} if rate else ""
        progress("pictures", rehash.looked_at, total, note)
        works = list(_left(rehash).order_by("id")[:BATCH])
        found = _rows_of_all(algorithm, works)
        with transaction.atomic():
            hold_claim(job=job)
            # One may have been purged meanwhile; those that are there stay until this ends.
            ids = [work.pk for work in works]
            there = set(Work.objects.select_for_update().filter(pk__in=ids).values_list("pk", flat=True))
            rows = [row for some in found for row in some or () if row.work_id in there]
            hashes = [row for row in rows if isinstance(row, FingerprintRow)]
            FingerprintRow.objects.bulk_create(hashes, ignore_conflicts=True)
            vectors = [row for row in rows if isinstance(row, Descriptor)]
            Descriptor.objects.bulk_create(vectors, ignore_conflicts=True)
            rehash.hashed += sum(1 for some in found if some)
            rehash.too_simple += found.count([])
            rehash.unreadable += found.count(None)
            if works:
                rehash.after = works[-1].pk
            if len(works) < BATCH:
                rehash.finished_at = timezone.now()
            rehash.save()
        if rehash.finished_at is not None:
            return True
        if time.monotonic() - began > SLICE_SECONDS:
            return False


def _left(rehash: Rehash) -> QuerySet[Work]:
    """Return the works still to be hashed. Those registered from now on have every hash from the first."""
    works = Work.objects.all() if rehash.after is None else Work.objects.filter(id__gt=rehash.after)
    if rehash.algorithm == DESCRIPTOR.algorithm:
        return works.exclude(descriptors__algorithm=rehash.algorithm)
    return works.exclude(fingerprints__algorithm=rehash.algorithm)


def _rows_of_all(algorithm: str, works: Sequence[Work]) -> list[list[FingerprintRow | Descriptor] | None]:
    hashers_load()
    with ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="rehash") as pool:
        return list(pool.map(lambda work: _rows_of(algorithm, work), works))


def _rows_of(algorithm: str, work: Work) -> list[FingerprintRow | Descriptor] | None:
    """Return the rows of a work, none for one that is too simple; None where its file cannot be read any more."""
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
    try:
        pixels = decode(files.read(Area.WORKS, work.sha256), limits).pixels
    except (DecodeError, FileNotFoundError):
        log.warning("a work could not be hashed anew: %s", work.pk)
        return None
    if algorithm == DESCRIPTOR.algorithm:
        vectors = DESCRIPTOR.describe_crops(pixels)
        return [] if vectors is None else [*descriptor_rows(work, vectors)]
    (fingerprint,) = HASHERS[algorithm].hash([pixels])
    return [fingerprint_row(work, fingerprint)] if fingerprint.usable else []
