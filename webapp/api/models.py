"""What the API remembers so that a repeated write is answered, not repeated."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class IdempotencyRecord(models.Model):
    """The answer to a write that carried an ``Idempotency-Key``.

    It is committed together with what the write did, so that there is never one without the other.
    """

    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.CASCADE, related_name="+")
    key_digest = models.CharField(max_length=64)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True, help_text="Byte for byte as it was sent, in UTF-8.")
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("api_key", "key_digest"), name="idempotency_key_once"),)

    def __str__(self) -> str:
        return f"{self.api_key_id} {self.key_digest[:8]}"
