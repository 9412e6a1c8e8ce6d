"""Pictures generated from two keys, the proofs that were tried on them, and the secrets while a job needs them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.jobs.models import JobState
from webapp.registry.models import Visibility


class Mode(models.TextChoices):
    """Which arithmetic makes a picture; the values are those of a recipe."""

    CANONICAL = "canonical", _("Canonical: can be proved bit for bit")
    FAST = "fast", _("Fast draft: kept, but never called identical")


class ProofVerdict(models.TextChoices):
    """What making a work again shows; the values are those of ``provenance.artwork.proof``."""

    IDENTICAL = "identical", _("Identical")
    NEAR = "near", _("Nearly the same")
    DIFFERENT = "different", _("Different")


class ArtworkQuerySet(models.QuerySet["Artwork"]):
    """Artworks by what they are."""

    def live(self) -> ArtworkQuerySet:
        """Artworks that are not deleted: on their way, registered, or ended without a picture."""
        return self.filter(models.Q(work=None) | models.Q(work__deleted_at=None))

    def registered(self) -> ArtworkQuerySet:
        """Artworks whose picture is registered now."""
        return self.filter(work__isnull=False, work__deleted_at=None)


class Artwork(models.Model):
    """One picture to be generated, or generated, from a prompt and a signature.

    ``recipe`` is public: both keys are in it as commitments only. The codes lie in the area ``artworks``, in the
    record of the work (:mod:`webapp.artworks.storage`). ``prompt_sealed`` is there only if its creator asked for it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="artworks")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="artworks"
    )
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="artwork")
    work = models.OneToOneField(
        "registry.Work", on_delete=models.SET_NULL, null=True, blank=True, related_name="artwork"
    )
    title = models.CharField(_("title"), max_length=200)
    visibility = models.CharField(max_length=12, choices=Visibility.choices, default=Visibility.PUBLIC)
    preset = models.CharField(max_length=20)
    mode = models.CharField(max_length=10, choices=Mode.choices)
    recipe = models.TextField(help_text="Canonical JSON (RFC 8785).")
    recipe_digest = models.CharField(max_length=64, db_index=True)
    prompt_sealed = models.BinaryField(null=True, blank=True)

    latent_sha256 = models.CharField(max_length=64, blank=True)
    pixel_sha256 = models.CharField(max_length=64, blank=True)
    seconds = models.FloatField(null=True, blank=True, help_text="Spent on generating, summed over claims.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    generated_at = models.DateTimeField(null=True, blank=True)

    objects = ArtworkQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="artwork_mode_known"),
            models.CheckConstraint(
                condition=models.Q(work__isnull=True) | models.Q(generated_at__isnull=False),
                name="artwork_registered_is_generated",
            ),
        )

    def __str__(self) -> str:
        return self.title

    @property
    def is_registered(self) -> bool:
        """Whether its picture is registered now."""
        return self.work is not None and self.work.deleted_at is None

    @property
    def has_ended_without_picture(self) -> bool:
        """Whether its job was cancelled or failed."""
        return self.generated_at is None and self.job.state in (JobState.FAILED, JobState.CANCELLED)


class ArtworkSecret(models.Model):
    """What a job needs of the two keys, sealed; it goes in the transaction in which the job ends."""

    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, primary_key=True, related_name="artwork_secret")
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return f"secrets of {self.job_id}"


class Proof(models.Model):
    """One attempt to make a work again from two keys. It keeps the result, never the keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    artwork = models.ForeignKey(Artwork, on_delete=models.CASCADE, related_name="proofs")
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="artwork_proof")
    prover = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.SET_NULL, null=True, blank=True, related_name="artwork_proofs"
    )
    prompt_fits = models.BooleanField()
    key_fits = models.BooleanField()
    file_fits = models.BooleanField(help_text="Whether the signature is the very file, byte for byte.")

    redecoded = models.BooleanField(null=True, blank=True, help_text="Level 1: the codes decode to the picture.")
    verdict = models.CharField(max_length=10, choices=ProofVerdict.choices, blank=True)
    codes_equal = models.BooleanField(null=True, blank=True)
    latent_equal = models.BooleanField(null=True, blank=True)
    psnr_db = models.FloatField(null=True, blank=True, help_text="None where the pictures are identical.")
    ssim = models.FloatField(null=True, blank=True)
    equal_share = models.FloatField(null=True, blank=True)
    hash_distance = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Bits, of 256, in which the two pictures' hashes (pdq-v1) differ."
    )
    pixel_sha256 = models.CharField(max_length=64, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return f"proof of {self.artwork_id}: {self.verdict or 'in progress'}"


class Trial(models.Model):
    """What changes: one prompt, a signature, and the same signature with one pixel altered. Kept for a day."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="artwork_trials")
    job = models.OneToOneField("jobs.Job", on_delete=models.CASCADE, related_name="artwork_trial")
    x = models.PositiveIntegerField()
    y = models.PositiveIntegerField()
    before = models.CharField(max_length=7, help_text="Colour of the pixel, #rrggbb.")
    after = models.CharField(max_length=7)
    recipe = models.TextField()
    commitments = models.JSONField(default=list, help_text="Of the two keys, under the recipe's salt.")
    bits_changed = models.PositiveSmallIntegerField(help_text="Of the key's 256 bits.")

    psnr_db = models.FloatField(null=True, blank=True)
    ssim = models.FloatField(null=True, blank=True)
    equal_share = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return f"pixel {self.x}, {self.y}"
