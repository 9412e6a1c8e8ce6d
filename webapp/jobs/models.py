"""Long work, one row each. The row is the truth; queue messages and socket messages only point at it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


FINAL_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
# From this share on, what work has taken tells of the rest.
_SHOWS = 0.05


class Job(models.Model):
    """One piece of long work.

    ::

        queued --claim--> running --finish--> succeeded
          ^  |               |  \\--refusal, or failed too often--> failed
          |  |               \\--cancel_requested seen--> cancelled
          |  \\--cancel--> cancelled
          \\--hand back, retry, or lease run out-- running

    ``seq`` grows with every change that a watcher should see. ``claim`` counts claims and fences them: a process
    that lost its claim (its lease ran out) can no longer write. ``lease_until`` is renewed by the process that
    holds the claim; when it passes, the work is taken to be lost and queued again, ``max_failures`` times at most.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    payload = models.JSONField(default=dict, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="jobs"
    )
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.CASCADE, null=True, blank=True, related_name="jobs"
    )
    visitor_digest = models.CharField(max_length=64, blank=True)
    watched_by_link = models.BooleanField(default=False, help_text="Whoever knows the id may watch.")

    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    steps = models.JSONField(default=list, blank=True, help_text="[[key, label], ...] in order")
    step = models.CharField(max_length=40, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=200, blank=True)
    seq = models.PositiveBigIntegerField(default=1)
    timings = models.JSONField(default=dict, blank=True, help_text="Seconds spent in each step, summed over claims.")

    claim = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    max_failures = models.PositiveSmallIntegerField(default=3)
    lease_until = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(default=timezone.now)
    cancel_requested = models.BooleanField(default=False)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="job_state_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=FINAL_STATES, finished_at__isnull=False)
                | models.Q(state__in=(JobState.QUEUED, JobState.RUNNING), finished_at__isnull=True),
                name="job_finished_at_iff_final",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=JobState.RUNNING) | models.Q(lease_until__isnull=False),
                name="job_running_has_lease",
            ),
        )
        indexes = (
            # For jobs.queue.recover: running work whose lease has run out, queued work that no message points at.
            models.Index(
                fields=("state", "lease_until"),
                condition=models.Q(state__in=(JobState.QUEUED, JobState.RUNNING)),
                name="job_unfinished",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.state}"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINAL_STATES

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1: finished steps, and of the present step the part done.

        Steps count alike, unless ``payload["weights"]`` has others than 1 for some of their keys.
        """
        if self.state == JobState.SUCCEEDED:
            return 1.0
        weights = self._weights
        if self.step not in weights:
            return 0.0
        before = list(weights).index(self.step)
        done = sum(list(weights.values())[:before]) + weights[self.step] * self._within
        return min(1.0, done / sum(weights.values()))

    @property
    def seconds_left(self) -> int | None:
        """Return a guess by the pace of the present step or, until that shows, of all so far; None where none shows.

        Only time at work counts: in the queue, or while the site is stopped, nothing gets done.
        """
        fraction, weights = self.fraction, self._weights
        if self.state != JobState.RUNNING or fraction <= _SHOWS:
            return None
        all_of_it = sum(weights.values())
        if self._within > _SHOWS:
            pace: float = self.timings.get(self.step, 0.0) / (weights[self.step] * self._within)
        else:
            pace = sum(self.timings.values()) / (all_of_it * fraction)
        return round(pace * all_of_it * (1 - fraction))

    @property
    def _weights(self) -> dict[str, float]:
        given = self.payload.get("weights", {})
        return {key: float(given.get(key, 1.0)) for key, _label in self.steps}

    @property
    def _within(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0
