"""A check of one uploaded picture: its evidence and its verdict."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Verdict(models.TextChoices):
    """The answer in words. A verdict is never an accusation."""

    REGISTERED = "registered", _("Registered")
    PROBABLY_REGISTERED = "probably_registered", _("Probably registered")
    PRIVATE_MATCH = "private_match", _("A private catalogue reports a match")
    NOT_FOUND = "not_found", _("Not found here")
    CANNOT_TELL = "cannot_tell", _("Cannot tell")


class Check(models.Model):
    """One picture that somebody asked about. The uploaded file lies in the area ``checks`` until it expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.UUIDField(default=uuid.uuid4, db_index=True, help_text="Pictures sent together share it.")
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="check_row")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="checks"
    )
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.SET_NULL, null=True, blank=True, related_name="checks"
    )
    visitor_digest = models.CharField(max_length=64, blank=True)

    filename = models.CharField(max_length=255)
    file_key = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64, db_index=True)
    byte_size = models.PositiveBigIntegerField()
    pixel_sha256 = models.CharField(max_length=64, blank=True)
    media_type = models.CharField(max_length=40, blank=True)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)

    verdict = models.CharField(max_length=20, choices=Verdict.choices, blank=True)
    explanation = models.TextField(blank=True)
    registry_size = models.PositiveIntegerField(null=True, blank=True)
    algorithms = models.JSONField(default=dict, help_text="Part -> version that gave this verdict.")

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(help_text="When the uploaded picture is deleted.")
    file_deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            # For checks.services.expire_files.
            models.Index(
                fields=("expires_at",),
                condition=models.Q(file_deleted_at=None),
                name="check_files_to_expire",
            ),
        )

    def __str__(self) -> str:
        return f"{self.filename}: {self.verdict or 'in progress'}"


class EvidenceKind(models.TextChoices):
    """Which examiner spoke."""

    PICTURE = "picture", _("Picture")
    EXACT = "exact", _("Exact file")
    CANDIDATES = "candidates", _("Look-alikes")
    PAIR = "pair", _("Side-by-side verification")
    SIGNATURE = "signature", _("Signature")
    PRIVATE = "private", _("Private catalogue")
    ORIGIN = "origin", _("Made by AI?")
    REVIEW = "review", _("Reviewers")


class Outcome(models.TextChoices):
    """What a piece of evidence says about registration."""

    FOR = "for", _("Speaks for registration")
    LEANS = "leans", _("Leans towards registration")
    AGAINST = "against", _("Speaks against")
    NEUTRAL = "neutral", _("Says nothing either way")


class Evidence(models.Model):
    """One finding of one examiner, with its figures."""

    check_row = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=12, choices=EvidenceKind.choices)
    ordinal = models.PositiveSmallIntegerField(default=0)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    summary = models.CharField(max_length=400)
    data = models.JSONField(default=dict)
    work = models.ForeignKey("registry.Work", on_delete=models.SET_NULL, null=True, blank=True, related_name="evidence")
    version = models.CharField(max_length=60)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "evidence"
        constraints = (
            # A check that runs twice says everything once.
            models.UniqueConstraint(fields=("check_row", "kind", "ordinal"), name="evidence_once"),
        )

    def __str__(self) -> str:
        return f"{self.kind}: {self.outcome}"
