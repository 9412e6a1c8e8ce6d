"""Each night's audit of the indexes in memory: do they still find what they must?

An index in memory cannot find too much, as the database confirms every answer; it could only lack an entry. So works
are sampled from the table and searched for by their own code and by codes planted near it, and for some of them the
index must find all that SQL finds.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy

from provenance.hashing.code import HashCode
from provenance.matching.policy import POLICIES
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, job_create
from webapp.registry.models import HASH_COLUMNS, Fingerprint, SearchAudit
from webapp.registry.search import SqlIndex, fingerprints_about, registry_index

log = logging.getLogger(__name__)

KIND = "search_audit"
# Works searched for, twice each: by their own code and by one planted near it.
SAMPLES = 100
# Of these, works for which SQL is asked too: a second each in a registry of ten million.
COMPARED = 10
# UTC. The first worker that starts after it on a day begins the audit.
_HOUR = 3


def audits_begin() -> int:
    """Begin this night's audit where it has not begun and an index is used; return how many jobs that were.

    There is one for each worker process; which process takes which is chance, so some nights one is passed over.
    """
    now = timezone.now()
    night = now.replace(hour=_HOUR, minute=0, second=0, microsecond=0)
    if night > now:
        night -= timedelta(days=1)
    if fingerprints_about() < settings.SEARCH_RESIDENT_ROWS:
        return 0
    if Job.objects.filter(kind=KIND, created_at__gte=night).exists():
        return 0
    for _worker in range(settings.WORKERS):
        job_create(kind=KIND, steps=[("search", gettext_lazy("Searching for works that are there"))], payload={})
    return settings.WORKERS


def audits_run(progress: Progress) -> None:
    """Audit this process's indexes, one after the other.

    Raises:
        JobCancelled: somebody asked for it to stop.
        ClaimLost: another process does it now.
    """
    for done, policy in enumerate(POLICIES.values()):
        progress("search", done, len(POLICIES), policy.algorithm)
        index_audit(policy.algorithm, policy.length, policy.candidate_radius)


def index_audit(algorithm: str, length: int, radius: int) -> SearchAudit | None:
    """Audit this process's index of an algorithm; None where SQL answers its searches.

    The index gives its memory back afterwards and is read anew, without the entries of works since purged. Where a
    work was missed, staff see it in the administration, and every process reads its index anew.

    Args:
        radius: bits, how far from a work's code the planted ones lie at most, and that of the searches.
    """
    index = registry_index(algorithm, length)
    if isinstance(index, SqlIndex):
        return None
    table = index.caught_up()
    if table is None:
        return None
    sql = SqlIndex(algorithm, length)
    rng = np.random.default_rng()
    missed: set[uuid.UUID] = set()
    asked = 0
    sampled = Fingerprint.objects.filter(algorithm=algorithm, work__deleted_at=None).order_by("?")[:SAMPLES]
    for number, (work, bits) in enumerate(sampled.values_list("work", HASH_COLUMNS[length])):
        own = HashCode.from_array(algorithm, [bit == "1" for bit in bits])
        for query in (own, _planted(own, int(rng.integers(1, radius + 1)), rng)):
            expected = {work}
            if number < COMPARED:
                expected |= {candidate.id for candidate in sql.search(query, radius)}
            expected -= {candidate.id for candidate in index.search(query, radius)}
            # What SQL does not find any more was deleted or hashed anew meanwhile.
            missed |= expected and expected & {candidate.id for candidate in sql.search(query, radius)}
            asked += 1
    index.forget()
    if missed:
        log.error("the index of %s missed %d works of %d searches; it is read anew", algorithm, len(missed), asked)
    process = f"{socket.gethostname()}:{os.getpid()}"[:100]
    return SearchAudit.objects.create(
        algorithm=algorithm, entries=len(table), asked=asked, missed=len(missed), process=process
    )


def _planted(code: HashCode, distance: int, rng: np.random.Generator) -> HashCode:
    """Return a code that differs in so many bits, chosen at random."""
    bits = np.unpackbits(np.frombuffer(code.bits, np.uint8))
    bits[rng.permutation(code.length)[:distance]] ^= 1
    return HashCode.from_array(code.algorithm, bits)
