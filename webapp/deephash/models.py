"""Deep hashes of catalogues: the models that were trained on them, which one each uses, and its pictures' codes."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pgvector.django import BitField, HalfVectorField


class Kind(models.TextChoices):
    """Which autoencoder (``provenance.models.autoencoder_nets``)."""

    CON_VAE = "con-vae", _("Con-VAE: convolutions, variational (the paper's best)")
    VTE = "vte", _("VTE: a transformer over patches, variational")
    AE = "ae", _("AE: full layers")
    RES_AE = "res-ae", _("Res-AE: full layers with skip connections (the paper's worst)")


class Bits(models.IntegerChoices):
    """Length of a code; the table has a column for each."""

    SHORT = 64, _("64 bits")
    LONG = 128, _("128 bits")


class TrainedModel(models.Model):
    """A deep hash that learns, or has learnt, from a catalogue's pictures; any of its organisation's may use it.

    One whose catalogue is purged stays for as long as another catalogue uses it.

    Its weights lie in the area ``deephash`` (:mod:`webapp.deephash.storage`). ``curve`` counts pairs of different
    pictures of the catalogue, one that was held out and one that was learnt from, by the bits in which they differ:
    thresholds and error rates come from it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="+")
    catalogue = models.ForeignKey(
        "catalogues.Catalogue", on_delete=models.SET_NULL, null=True, blank=True, related_name="trained_models"
    )
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="trained_model")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(_("architecture"), max_length=10, choices=Kind.choices, default=Kind.CON_VAE)
    bits = models.PositiveSmallIntegerField(_("length"), choices=Bits.choices, default=Bits.SHORT)
    read_to = models.UUIDField(null=True, blank=True, help_text="Id of the last work that was read to learn from.")
    pictures = models.PositiveIntegerField(default=0, help_text="From which it learnt.")
    held_out = models.PositiveIntegerField(
        default=0, help_text="Pictures from which it did not learn, by which it was judged; 0: by those it learnt from."
    )
    history = models.JSONField(default=list, blank=True, help_text="Error and PSNR by epoch.")
    curve = models.JSONField(default=list, blank=True, help_text="Pairs of different pictures at each distance.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    trained_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="trained_model_kind_known"),
            models.CheckConstraint(condition=models.Q(bits__in=Bits.values), name="trained_model_bits_known"),
        )

    def __str__(self) -> str:
        return self.algorithm

    @property
    def algorithm(self) -> str:
        """The id under which its codes are kept; another training has another."""
        return f"{self.kind}-{self.bits}-{self.pk.hex[:12]}"


class CatalogueHash(models.Model):
    """Which deep hash a catalogue uses. Its pictures get their codes by a job, later ones by the next."""

    catalogue = models.OneToOneField("catalogues.Catalogue", on_delete=models.CASCADE, related_name="deep_hash")
    algorithm = models.CharField(max_length=40)
    trained_model = models.ForeignKey(
        TrainedModel, on_delete=models.RESTRICT, null=True, blank=True, related_name="uses"
    )
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    unreadable = models.JSONField(default=list, blank=True, help_text="Ids of works whose file could not be read.")
    plain = models.JSONField(default=list, blank=True, help_text="Ids of works that are too plain for a code.")
    chosen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.algorithm


class DeepCode(models.Model):
    """A work's deep hash: code and feature vector; the file's place is the work's. Ties of codes go by the vector."""

    work = models.ForeignKey("registry.Work", on_delete=models.CASCADE, related_name="deep_codes")
    algorithm = models.CharField(max_length=40)
    code64 = BitField(length=64, null=True)
    code128 = BitField(length=128, null=True)
    feature = HalfVectorField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("work", "algorithm"), name="deep_code_once"),
            models.CheckConstraint(
                condition=Exact(
                    models.Func("code64", "code128", function="num_nonnulls", output_field=models.IntegerField()), 1
                ),
                name="deep_code_one_width",
            ),
        )
        indexes = (models.Index(fields=("algorithm",), name="deep_code_by_algorithm"),)

    def __str__(self) -> str:
        return f"{self.algorithm} of {self.work_id}"
