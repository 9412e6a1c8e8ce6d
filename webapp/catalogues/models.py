"""Catalogues, what is in them, and the imports that filled them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.registry.models import Visibility


class CatalogueQuerySet(models.QuerySet["Catalogue"]):
    """Catalogues by what they are."""

    def live(self) -> CatalogueQuerySet:
        """Catalogues that are not deleted."""
        return self.filter(deleted_at=None)


class Catalogue(models.Model):
    """A named set of registered pictures of one organisation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="catalogues")
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True, max_length=2000)
    visibility = models.CharField(
        _("who finds a copy sees"), max_length=12, choices=Visibility.choices, default=Visibility.PUBLIC
    )
    is_private = models.BooleanField(default=False, help_text="Encrypted: it takes no pictures in clear.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    deletion = models.OneToOneField(
        "registry.Deletion", on_delete=models.SET_NULL, null=True, blank=True, related_name="catalogue"
    )

    objects = CatalogueQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "name"), condition=models.Q(deleted_at=None), name="catalogue_name_once"
            ),
        )

    def __str__(self) -> str:
        return self.name


class CatalogueItem(models.Model):
    """A registered picture's place in a catalogue."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    catalogue = models.ForeignKey(Catalogue, on_delete=models.CASCADE, related_name="items")
    work = models.OneToOneField("registry.Work", on_delete=models.CASCADE, related_name="catalogue_item")
    filename = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return self.filename


class ImportSource(models.TextChoices):
    """What was uploaded."""

    ZIP = "zip", _("ZIP archive")
    FILES = "files", _("Files")


class CatalogueImport(models.Model):
    """One upload into a catalogue. Its job's row says how far it is; its rows say what became of each picture."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    catalogue = models.ForeignKey(Catalogue, on_delete=models.CASCADE, related_name="imports")
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="catalogue_import")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    source = models.CharField(max_length=5, choices=ImportSource.choices)
    upload_name = models.CharField(max_length=255, blank=True)
    upload_key = models.CharField(max_length=120, blank=True, help_text="Storage key of the archive.")
    csv_key = models.CharField(max_length=120, blank=True, help_text="Storage key of the table of titles.")
    csv_name = models.CharField(max_length=255, blank=True)
    upload_bytes = models.PositiveBigIntegerField(default=0)
    upload_deleted_at = models.DateTimeField(null=True, blank=True)
    dry_run = models.BooleanField(default=False)
    notes = models.JSONField(default=list, help_text="Sentences about the upload as a whole.")
    planned_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"import into {self.catalogue_id}"


class RowState(models.TextChoices):
    """What became of one picture of an import."""

    PENDING = "pending", _("Waiting")
    REGISTERED = "registered", _("Registered")
    VALID = "valid", _("Would be registered")
    DUPLICATE = "duplicate", _("Already registered")
    FAILED = "failed", _("Refused")


class ImportRow(models.Model):
    """One picture of an import, or one line of its table that has none.

    ``tries`` is raised before a row's picture is touched and stays so when the process dies of it. A pending row
    whose import was cancelled or failed is one that was not done; it can be resumed.
    """

    catalogue_import = models.ForeignKey(CatalogueImport, on_delete=models.CASCADE, related_name="rows")
    index = models.PositiveIntegerField(help_text="Position in the archive, or among the files.")
    filename = models.CharField(max_length=255)
    member = models.CharField(max_length=1000, blank=True, help_text="Name inside the archive.")
    file_key = models.CharField(max_length=120, blank=True, help_text="Storage key of a file uploaded by itself.")
    metadata = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=RowState.choices, default=RowState.PENDING)
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=500, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    byte_size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    pixel_sha256 = models.CharField(max_length=64, blank=True)
    work = models.ForeignKey(
        "registry.Work", on_delete=models.SET_NULL, null=True, blank=True, related_name="import_rows"
    )

    class Meta:
        ordering = ("index",)
        constraints = (
            models.UniqueConstraint(fields=("catalogue_import", "index"), name="import_row_once"),
            models.CheckConstraint(condition=models.Q(state__in=RowState.values), name="import_row_state_known"),
        )
        indexes = (
            # For the import job: the next rows to do.
            models.Index(
                fields=("catalogue_import", "index"),
                condition=models.Q(state=RowState.PENDING),
                name="import_rows_pending",
            ),
        )

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """The file's name as its sender knows it: with its folders, if it came in an archive."""
        return self.member or self.filename
