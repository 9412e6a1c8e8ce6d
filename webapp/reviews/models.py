"""Matches that people look at, and what they decided, remembered for that pair of pictures."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class MatchState(models.TextChoices):
    """The standing decision on a pair."""

    OPEN = "open", _("To review")
    CONFIRMED = "confirmed", _("Confirmed")
    REJECTED = "rejected", _("Rejected")
    UNSURE = "unsure", _("Unsure")


DECISIONS = (MatchState.CONFIRMED, MatchState.REJECTED, MatchState.UNSURE)


class Match(models.Model):
    """A checked picture and a registered work that verification paired.

    The pair is known by the checked picture's pixels, so that the same picture sent again, even re-wrapped without
    loss, meets the decision already made. ``opened_by`` and ``opened_at`` keep two reviewers from deciding at once.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pixel_sha256 = models.CharField(max_length=64)
    work = models.ForeignKey("registry.Work", on_delete=models.CASCADE, related_name="matches")
    latest_check = models.ForeignKey("checks.Check", on_delete=models.CASCADE, related_name="matches")
    state = models.CharField(max_length=10, choices=MatchState.choices, default=MatchState.OPEN)
    times_seen = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    opened_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at", "id")
        verbose_name_plural = "matches"
        permissions = (("decide_match", "Can decide on matches"),)
        constraints = (
            models.UniqueConstraint(fields=("pixel_sha256", "work"), name="match_pair_once"),
            models.CheckConstraint(condition=models.Q(state__in=MatchState.values), name="match_state_known"),
        )
        indexes = (
            # For the review queue: oldest open match first.
            models.Index(fields=("created_at",), condition=models.Q(state=MatchState.OPEN), name="match_queue"),
        )

    def __str__(self) -> str:
        return f"{self.work}: {self.get_state_display()}"


class Decision(models.Model):
    """One reviewer's word on a match. Undone ones stay, marked."""

    match = models.ForeignKey(Match, on_delete=models.CASCADE, related_name="decisions")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions")
    state = models.CharField(max_length=10, choices=MatchState.choices)
    previous_state = models.CharField(max_length=10, choices=MatchState.choices)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"{self.get_state_display()} by {self.reviewer}"
