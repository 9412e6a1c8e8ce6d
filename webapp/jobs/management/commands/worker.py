"""Run the worker: the queue's processes, and a look-out for lost work and for what has to be tidied."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection
from django_q.cluster import Cluster

from webapp.jobs.services import jobs_recover

log = logging.getLogger(__name__)

# Apps add what must be done every minute: files that expire, deletions that can no longer be undone.
HOUSEKEEPING: list[Callable[[], Any]] = []


class Command(BaseCommand):
    """Django-q2's cluster, with our recovery loop in the parent process."""

    help = "Run the worker that does checks, imports and everything else that takes long."

    def handle(self, *args: Any, **options: Any) -> None:
        """Start the cluster and watch until a signal stops it."""
        cluster = Cluster()
        cluster.start()
        last_tidied = 0.0
        pause = min(5.0, settings.JOB_LEASE_SECONDS / 2)
        while cluster.sentinel is not None and cluster.sentinel.is_alive():
            try:
                jobs_recover()
                if time.monotonic() - last_tidied > 60:
                    last_tidied = time.monotonic()
                    for tidy in HOUSEKEEPING:
                        tidy()
            except OperationalError as error:
                log.warning("the database did not answer: %s", type(error).__name__)
                connection.close()
            cluster.sentinel.join(pause)
