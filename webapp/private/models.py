"""Private catalogues as the site knows them: settings, states, who may ask, and what was asked. Never a clear hash."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy


class HeldBy(models.TextChoices):
    """Who hashes and encrypts."""

    HOLDER = "holder", _("We hash and encrypt on our own machine; neither pictures nor hashes leave it")
    SITE = "site", _("This site's worker does it; it sees pictures for as long as that takes, and keeps none")


class PrivateState(models.TextChoices):
    """How far a private catalogue is.

    making_keys -> ready; making_keys -> failed -> making_keys. While a new content is being checked the one before is
    still there: see ``offered``.
    """

    MAKING_KEYS = "making_keys", _("Keyholders make its keys")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Its keys could not be made")


class PrivateCatalogue(models.Model):
    """The encrypted side of a catalogue. Its files are where :mod:`webapp.private.storage` says.

    ``manifest`` is the signed content that all keyholders have checked, and that questions are about; ``offered`` is
    the next one while they check it.
    """

    catalogue = models.OneToOneField("catalogues.Catalogue", on_delete=models.CASCADE, related_name="private")
    held_by = models.CharField(_("who encrypts"), max_length=6, choices=HeldBy.choices)
    algorithm = models.CharField(_("hash"), max_length=40)
    tau = models.PositiveSmallIntegerField(_("bits that a match may differ in"))
    who_allowed = models.BooleanField(_("may be asked which entry matches"), default=False)
    planned_entries = models.PositiveIntegerField(_("how many pictures it will have"))
    holder = models.JSONField(help_text="Public keys of whoever signs its content.")
    sealed_holder = models.BinaryField(null=True, help_text="The secret keys, where the site's worker encrypts.")
    agreement_json = models.BinaryField(null=True)
    state = models.CharField(max_length=12, choices=PrivateState.choices, default=PrivateState.MAKING_KEYS)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    manifest = models.BinaryField(null=True)
    offered = models.BinaryField(null=True)
    problem = models.CharField(max_length=500, blank=True, help_text="Why what was sent last was refused.")
    failed_checks = models.PositiveSmallIntegerField(
        default=0, help_text="How often engines ended while what is offered was checked."
    )
    entries = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0, help_text="Of its blocks.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=PrivateState.values), name="private_state_known"),
            models.CheckConstraint(condition=models.Q(held_by__in=HeldBy.values), name="private_held_by_known"),
            models.CheckConstraint(condition=models.Q(tau__lte=32), name="private_tau_offered"),
        )

    def __str__(self) -> str:
        return f"private: {self.catalogue_id}"

    @property
    def key(self) -> str:
        """The name of its folders, 32 hex digits."""
        return self.catalogue_id.hex

    @property
    def agreement(self) -> Agreement:
        """What was agreed; only once there is something."""
        assert self.agreement_json is not None
        return Agreement.from_json(bytes(self.agreement_json))

    @property
    def is_askable(self) -> bool:
        """Whether it answers questions now."""
        return self.state == PrivateState.READY and self.manifest is not None and self.entries > 0


class PrivateClient(models.Model):
    """Somebody with keys of their own whom the holder lets ask: they encrypt themselves, and the site relays."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    private = models.ForeignKey(PrivateCatalogue, on_delete=models.CASCADE, related_name="clients")
    name = models.CharField(max_length=64)
    identity = models.JSONField(help_text="Public keys.")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("private", "name"), name="private_client_once"),)

    def __str__(self) -> str:
        return self.name


class QuestionState(models.TextChoices):
    """How far a question is.

    waiting -> asked -> answered | failed; waiting -> failed. One that was begun counts whatever becomes of it.
    """

    WAITING = "waiting", _("Waiting")
    ASKED = "asked", _("Being asked")
    ANSWERED = "answered", _("Answered")
    FAILED = "failed", _("Not answered")


class PrivateQuestion(models.Model):
    """That somebody asked, when, and what it took: for limits, costs and alarms. Neither the picture nor its hash.

    Attributes:
        credential: whose budget it counts against: ``user:<id>`` or ``organisation:<id>``.
        job: of a relayed question; others are asked by their check's.
        matches: null where the site relayed and does not know.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    private = models.ForeignKey(PrivateCatalogue, on_delete=models.CASCADE, related_name="questions")
    check_row = models.ForeignKey(
        "checks.Check", on_delete=models.CASCADE, null=True, blank=True, related_name="private_questions"
    )
    credential = models.CharField(max_length=60)
    job = models.OneToOneField(
        "jobs.Job", on_delete=models.CASCADE, null=True, blank=True, related_name="private_question"
    )
    signed_id = models.CharField(max_length=64, blank=True, help_text="Of a relayed question, to know it again.")
    policy = models.CharField(max_length=3, choices=[(policy.value, policy.value) for policy in Policy])
    state = models.CharField(max_length=8, choices=QuestionState.choices, default=QuestionState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    matches = models.BooleanField(null=True)
    places = models.JSONField(default=list, blank=True, help_text="Block and slot of entries, where that was asked.")
    entries = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    sent_bytes = models.PositiveBigIntegerField(default=0)
    answer_bytes = models.PositiveBigIntegerField(default=0)
    reason = models.CharField(max_length=400, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=QuestionState.values), name="private_question_state"),
            # A check that runs twice asks once, as far as its own limit goes.
            models.UniqueConstraint(
                fields=("private", "check_row", "policy"),
                condition=models.Q(check_row__isnull=False),
                name="private_question_once",
            ),
            models.UniqueConstraint(
                fields=("signed_id",), condition=~models.Q(signed_id=""), name="private_question_signed_once"
            ),
        )
        indexes = (models.Index(fields=("private", "credential", "created_at"), name="private_questions_of"),)

    def __str__(self) -> str:
        return f"{self.policy} about {self.private_id}: {self.state}"
