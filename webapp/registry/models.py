"""What is registered: works, and the fingerprints by which copies of them are found."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pgvector.django import BitField, HalfVectorField, HnswIndex


class Visibility(models.TextChoices):
    """What somebody sees who found a copy of a registered work."""

    PUBLIC = "public", _("Picture, title and owner")
    RECORD_ONLY = "record_only", _("Title and owner, not the picture")


class DeletionQuerySet(models.QuerySet["Deletion"]):
    """Deletions by what can still be done about them."""

    def undoable(self) -> DeletionQuerySet:
        """Deletions that can be undone now."""
        return self.filter(restored_at=None, created_at__gt=timezone.now() - timedelta(hours=settings.UNDO_HOURS))


class Deletion(models.Model):
    """One act of deleting works. It can be undone for ``settings.UNDO_HOURS``; then its works are purged."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="deletions")
    label = models.CharField(max_length=300, help_text="What was deleted, in words.")
    count = models.PositiveIntegerField(default=0, help_text="How many works.")
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    restored_at = models.DateTimeField(null=True, blank=True)

    objects = DeletionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.label

    @property
    def undo_until(self) -> datetime:
        """When the works are purged."""
        return self.created_at + timedelta(hours=settings.UNDO_HOURS)


class WorkQuerySet(models.QuerySet["Work"]):
    """Works by what they are, so that no caller repeats the condition."""

    def live(self) -> WorkQuerySet:
        """Works that are registered now: neither deleted nor in the time in which a deletion can be undone."""
        return self.filter(deleted_at=None)


class Work(models.Model):
    """One registered picture of one organisation. Its file lies in the area ``works`` under its SHA-256."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="works")
    registered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    title = models.CharField(max_length=200)
    creator = models.CharField(max_length=200, blank=True)
    licence = models.CharField(max_length=200, blank=True)
    source_url = models.URLField(max_length=500, blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    visibility = models.CharField(max_length=12, choices=Visibility.choices, default=Visibility.PUBLIC)

    sha256 = models.CharField(max_length=64)
    pixel_sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=40)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    byte_size = models.PositiveBigIntegerField()

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    deletion = models.ForeignKey(Deletion, on_delete=models.SET_NULL, null=True, blank=True, related_name="works")

    objects = WorkQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (
            # An import that runs twice registers each picture once.
            models.UniqueConstraint(
                fields=("organisation", "sha256"), condition=models.Q(deleted_at=None), name="work_once_live"
            ),
        )
        indexes = (
            models.Index(fields=("sha256",), condition=models.Q(deleted_at=None), name="work_exact_bytes"),
            models.Index(fields=("pixel_sha256",), condition=models.Q(deleted_at=None), name="work_exact_pixels"),
            # For registry.storage.works_purge.
            models.Index(fields=("deleted_at",), condition=models.Q(deleted_at__isnull=False), name="work_to_purge"),
        )

    def __str__(self) -> str:
        return self.title


# Where a code lies, by its bits.
HASH_COLUMNS = {64: "hash64", 96: "hash96", 256: "hash256", 512: "hash512"}


class Fingerprint(models.Model):
    """A perceptual hash of a work under one algorithm, packed most significant bit first.

    The table has one more column, ``changed``, which a trigger fills: see :mod:`webapp.registry.resident`.
    """

    work = models.ForeignKey(Work, on_delete=models.CASCADE, related_name="fingerprints")
    algorithm = models.CharField(max_length=40)
    hash64 = BitField(length=64, null=True)
    hash96 = BitField(length=96, null=True)
    hash256 = BitField(length=256, null=True)
    hash512 = BitField(length=512, null=True)
    quality = models.FloatField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("work", "algorithm"), name="fingerprint_once"),
            models.CheckConstraint(
                condition=Exact(
                    models.Func(*HASH_COLUMNS.values(), function="num_nonnulls", output_field=models.IntegerField()),
                    1,
                ),
                name="fingerprint_one_width",
            ),
        )
        indexes = (models.Index(fields=("algorithm",), name="fingerprint_by_algorithm"),)

    def __str__(self) -> str:
        return f"{self.algorithm} of {self.work_id}"

    @property
    def bits(self) -> str:
        """The code as characters 0 and 1, most significant bit first."""
        return next(str(value) for column in HASH_COLUMNS.values() if (value := getattr(self, column)) is not None)


class Descriptor(models.Model):
    """What a copy-detection network sees in a work, or in one crop of it: a unit vector, compared by its cosine."""

    work = models.ForeignKey(Work, on_delete=models.CASCADE, related_name="descriptors")
    algorithm = models.CharField(max_length=40)
    crop = models.PositiveSmallIntegerField(help_text="Which of the algorithm's crops; 0 is the whole picture.")
    vector = HalfVectorField(dimensions=256)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("work", "algorithm", "crop"), name="descriptor_once"),)
        indexes = (HnswIndex(fields=("vector",), opclasses=("halfvec_cosine_ops",), name="descriptor_nearest"),)

    def __str__(self) -> str:
        return f"{self.algorithm} of {self.work_id}, crop {self.crop}"


class Rehash(models.Model):
    """The works that were registered before an algorithm was there, on their way to its hashes."""

    algorithm = models.CharField(max_length=40, primary_key=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    after = models.UUIDField(null=True, blank=True, help_text="The last work looked at; they are taken in order of id.")
    hashed = models.PositiveIntegerField(default=0)
    too_simple = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("begun_at", "algorithm")
        verbose_name_plural = "rehashes"

    def __str__(self) -> str:
        return self.algorithm

    @property
    def looked_at(self) -> int:
        """How many works were taken so far."""
        return self.hashed + self.too_simple + self.unreadable


class SearchAudit(models.Model):
    """What one process's index in memory missed of what it must find, by comparison with the table."""

    algorithm = models.CharField(max_length=40)
    entries = models.PositiveBigIntegerField(help_text="Codes in the memory of the process that was asked.")
    asked = models.PositiveIntegerField(help_text="Searches that were made.")
    missed = models.PositiveIntegerField(help_text="Works that a search should have found and did not.")
    process = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at",)
        # Every search asks for the last of these.
        indexes = (models.Index(fields=("id",), condition=models.Q(missed__gt=0), name="searchaudit_missed"),)

    def __str__(self) -> str:
        return f"{self.algorithm}, {self.created_at:%Y-%m-%d}"
