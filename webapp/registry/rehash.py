"""Hashes of a new algorithm for works that were registered before it: a job that anybody can kill and nobody restarts.

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
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.hashing.code import Fingerprint
from provenance.hashing.hasher import HASHERS, Hasher
from provenance.images.decode import DecodeError, Limits, decode
from webapp import files
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.registry.models import Fingerprint as FingerprintRow
from webapp.registry.models import Rehash, Work
from webapp.registry.services import fingerprint_row

log = logging.getLogger(__name__)

SLICE_SECONDS = 3.0
BATCH = 32
# A job that failed is followed by another after this time: what stopped it may have been mended.
AGAIN_AFTER = timedelta(hours=1)


def rehashes_begin() -> int:
    """Begin what is owed: one job for each algorithm that came after works did; return how many were begun."""
    begun = 0
    done = set(Rehash.objects.exclude(finished_at=None).values_list("algorithm", flat=True))
    for algorithm in HASHERS:
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
    if algorithm not in HASHERS:
        # An older program does not know it: whoever does will begin it again.
        return True
    hasher = HASHERS[algorithm]
    total = rehash.looked_at + _left(rehash).count()
    began, before = time.monotonic(), rehash.looked_at
    while True:
        spent = time.monotonic() - began
        rate = (rehash.looked_at - before) / spent if spent > 0.5 else 0
        note = _("%(rate).1f pictures a second") % {"rate": rate} if rate else ""
        progress("pictures", rehash.looked_at, total, note)
        works = list(_left(rehash).order_by("id")[:BATCH])
        found = _hash_all(hasher, works)
        with transaction.atomic():
            hold_claim(job=job)
            # A work may have been purged meanwhile; its row is held until this ends.
            there = set(
                Work.objects.select_for_update(of=("self",))
                .filter(pk__in=[work.pk for work in works])
                .values_list("pk", flat=True)
            )
            FingerprintRow.objects.bulk_create(
                [
                    fingerprint_row(work, print_)
                    for work, print_ in zip(works, found, strict=True)
                    if print_ is not None and print_.usable and work.pk in there
                ],
                ignore_conflicts=True,
            )
            rehash.hashed += sum(1 for print_ in found if print_ is not None and print_.usable)
            rehash.too_simple += sum(1 for print_ in found if print_ is not None and not print_.usable)
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
    after = Q() if rehash.after is None else Q(id__gt=rehash.after)
    return Work.objects.filter(after).exclude(fingerprints__algorithm=rehash.algorithm)


def _hash_all(hasher: Hasher, works: Sequence[Work]) -> list[Fingerprint | None]:
    take_share_of_processors()
    hasher.load()
    with ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="rehash") as pool:
        return list(pool.map(lambda work: _hash(hasher, work), works))


def _hash(hasher: Hasher, work: Work) -> Fingerprint | None:
    """Return a work's fingerprint; None where its file cannot be read any more."""
    try:
        limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
        return hasher.hash([decode(files.read(Area.WORKS, work.sha256), limits).pixels])[0]
    except (DecodeError, FileNotFoundError):
        log.warning("a work could not be hashed anew: %s", work.pk)
        return None
