"""Run the worker: the queue's processes, and a look-out for lost work and for what has to be tidied."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
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
        """Start the cluster and watch until a signal asks to stop; work in hand is finished or handed back.

        Raises:
            CommandError: the cluster died by itself.
        """
        cluster = Cluster()
        cluster.start()
        stop = threading.Event()
        # The cluster's own handler stops it inside the signal handler, which waits for ever when the same signal,
        # sent to the whole process group, has ended the cluster's guard already.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        recover_at = tidy_at = 0.0
        recover_every = min(5.0, settings.JOB_LEASE_SECONDS / 2)
        while not stop.wait(0.2):
            if not cluster.sentinel.is_alive():
                raise CommandError("The queue's processes died. Start the worker again; no work is lost.")
            now = time.monotonic()
            try:
                if now >= recover_at:
                    recover_at = now + recover_every
                    jobs_recover()
                if now >= tidy_at:
                    tidy_at = now + 60
                    for tidy in HOUSEKEEPING:
                        tidy()
            except OperationalError as error:
                log.warning("the database did not answer: %s", type(error).__name__)
                connection.close()
        # A signal to the whole group ends the guard too, in a moment; asking a dead one to stop would wait for ever.
        cluster.sentinel.join(0.5)
        if cluster.sentinel.is_alive():
            cluster.stop()
