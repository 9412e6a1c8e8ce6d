"""Errors that people and programs meet: one list of codes, one shape, one sentence that says what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.utils.functional import Promise


class ErrorCode(StrEnum):
    """Every code that a page, a receipt or the API may show. A code, once published, keeps its meaning."""

    INVALID = "invalid"
    NOT_AUTHENTICATED = "not_authenticated"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    SCOPE_MISSING = "scope_missing"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    CONFLICT = "conflict"
    GONE = "gone"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    FILE_MISSING = "file_missing"
    FILE_EMPTY = "file_empty"
    FILE_TOO_LARGE = "file_too_large"
    TOO_MANY_FILES = "too_many_files"
    PICTURE_UNREADABLE = "picture_unreadable"
    ARCHIVE_UNREADABLE = "archive_unreadable"
    ARCHIVE_ENCRYPTED = "archive_encrypted"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    ARCHIVE_UNSAFE_PATH = "archive_unsafe_path"
    ARCHIVE_NESTED = "archive_nested"
    CSV_UNREADABLE = "csv_unreadable"
    CSV_MISSING_FILE = "csv_missing_file"
    GENERATOR_UNAVAILABLE = "generator_unavailable"
    CANNOT_BE_SIGNED = "cannot_be_signed"
    SIGNATURES_UNAVAILABLE = "signatures_unavailable"
    PRIVATE_UNAVAILABLE = "private_unavailable"
    IDEMPOTENCY_BUSY = "idempotency_busy"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    WORKER_LOST = "worker_lost"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class ProductError(Exception):
    """A refusal that tells its reader what to do.

    Args:
        code: from :class:`ErrorCode`.
        message: one translatable sentence, safe to show to whoever asked.
        status: the HTTP status that a view or the API answers with.
        retry_after: seconds until the same request may succeed, where that is known.
        fields: for form-like input, field name -> sentences.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str | Promise,
        *,
        status: int = 400,
        retry_after: int | None = None,
        fields: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.fields = fields or {}

    def as_problem(self) -> dict[str, Any]:
        """Return the RFC 9457 problem document of this error."""
        problem: dict[str, Any] = {
            "type": f"/help/errors#{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": str(self.code),
            "detail": str(self.message),
        }
        if self.fields:
            problem["fields"] = self.fields
        return problem
