"""The queue: what carries the messages that point at jobs (django-q2, over the database or Redis)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import transaction
from django_q.brokers import get_broker
from django_q.tasks import async_task


def enqueue(job_id: uuid.UUID) -> None:
    """Put a message for the job into the queue, when the present transaction commits.

    With the database as queue the message is part of that transaction; with Redis one that is lost after the commit
    is sent again by :func:`webapp.jobs.services.jobs_recover`.
    """
    if settings.REDIS_URL:
        transaction.on_commit(lambda: _send(job_id))
    else:
        _send(job_id)


def is_empty() -> bool:
    """Return whether no message waits to be fetched."""
    return int(get_broker().queue_size()) == 0


def _send(job_id: uuid.UUID) -> None:
    async_task("webapp.jobs.runner.execute", str(job_id), task_name="job")
