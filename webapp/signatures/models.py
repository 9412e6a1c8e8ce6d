"""The numbers that signatures carry, and the tests that makers of generators run on their pictures."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from provenance.watermark.payload import NUMBER_BITS


class Kind(models.TextChoices):
    """What a signature points to."""

    WORK = "work", _("Registered work")
    GENERATOR = "generator", _("Generator")


class SignatureCode(models.Model):
    """One number, given once and never again.

    The secret by which its tag is made is not here: it is derived from the site's settings
    (:mod:`webapp.signatures.keys`). A revoked one, and one whose work is gone, stays, so that a check can say so.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(unique=True)
    kind = models.CharField(max_length=9, choices=Kind.choices)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="signature_codes")
    work = models.ForeignKey(
        "registry.Work", on_delete=models.SET_NULL, null=True, blank=True, related_name="signature_codes"
    )
    name = models.CharField(_("name"), max_length=120, blank=True, help_text="Of a generator.")
    subject = models.CharField(
        max_length=64, help_text="SHA-256 of what the tag is bound to: a work's perceptual hash, or a generator's id."
    )
    job = models.OneToOneField(
        "jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="signature_code"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="signature_kind_known"),
            models.CheckConstraint(condition=models.Q(number__lt=1 << NUMBER_BITS), name="signature_number_fits"),
            models.CheckConstraint(
                condition=models.Q(kind=Kind.WORK, name="") | models.Q(kind=Kind.GENERATOR, work=None),
                name="signature_of_one_kind",
            ),
            models.UniqueConstraint(
                fields=("work",), condition=models.Q(revoked_at=None), name="signature_of_work_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def undo_until(self) -> datetime:
        """Until when its revocation can be taken back."""
        assert self.revoked_at is not None
        return self.revoked_at + timedelta(hours=settings.UNDO_HOURS)

    @property
    def can_be_restored(self) -> bool:
        """Whether it was revoked so lately that this can be taken back."""
        return self.revoked_at is not None and self.undo_until > timezone.now()


class ReadingTest(models.Model):
    """Pictures of a generator that its maker sent to see whether its signature reads. The pictures are not kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.ForeignKey(SignatureCode, on_delete=models.CASCADE, related_name="tests")
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="signature_test")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return f"test of {self.code_id}"


class PictureResult(models.TextChoices):
    """What became of one picture of a test."""

    WAITING = "waiting", _("Waiting")
    READ = "read", _("Reads")
    ANOTHER = "another", _("Another signature")
    NONE = "none", _("None found")
    UNREADABLE = "unreadable", _("Not a picture we can read")


class TestPicture(models.Model):
    """One picture of a test; ``reading`` has how it was turned and scaled, where a signature was read."""

    __test__ = False  # Not one of pytest's.

    test = models.ForeignKey(ReadingTest, on_delete=models.CASCADE, related_name="pictures")
    ordinal = models.PositiveSmallIntegerField()
    filename = models.CharField(max_length=255)
    file_key = models.CharField(max_length=120)
    result = models.CharField(max_length=10, choices=PictureResult.choices, default=PictureResult.WAITING)
    message = models.CharField(max_length=300, blank=True)
    reading = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("ordinal",)
        constraints = (models.UniqueConstraint(fields=("test", "ordinal"), name="signature_test_picture_once"),)

    def __str__(self) -> str:
        return f"{self.filename}: {self.result}"
