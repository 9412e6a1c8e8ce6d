"""The receipt of a check: what was asked, answered and on which grounds, as canonical JSON with its own digest.

Canonical JSON is that of RFC 8785 (JCS). ``receipt_sha256`` is the SHA-256 (FIPS 180-4), in hex, of the canonical
JSON of everything else. The same check gives the same bytes for as long as it is kept.
"""

from __future__ import annotations

from typing import Any

import rfc8785
from django.conf import settings
from django.utils.translation import gettext as _

from webapp.checks.models import Check, Verdict
from webapp.checks.selectors import evidence_of, is_answered
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of

SCHEMA = "provenance.receipt.v1"


def receipt(check: Check) -> dict[str, Any]:
    """Return the receipt of a check that has its verdict.

    Raises:
        ProductError: it has none (409 while it is at work, 410 when it ended without one).
    """
    if not is_answered(check):
        if check.job.is_final:
            raise ProductError(
                ErrorCode.GONE,
                _("This check ended without a verdict, so it has no receipt. Send the picture again."),
                status=410,
            )
        raise ProductError(
            ErrorCode.CONFLICT,
            _("This check is still at work. Ask for its receipt when it is done."),
            status=409,
            retry_after=2,
        )
    assert check.job.finished_at is not None, "a job that succeeded has its time"
    content = {
        "schema": SCHEMA,
        "issuer": settings.SITE_URL,
        "check": str(check.pk),
        "submitted_at": check.created_at.isoformat(timespec="milliseconds"),
        "finished_at": check.job.finished_at.isoformat(timespec="milliseconds"),
        "picture": {
            "sha256": check.sha256,
            "pixel_sha256": check.pixel_sha256,
            "byte_size": check.byte_size,
            "media_type": check.media_type,
            "width": check.width,
            "height": check.height,
        },
        "verdict": check.verdict,
        "verdict_words": _VERDICT_WORDS[check.verdict],
        "explanation": check.explanation,
        "registry_size": check.registry_size,
        "algorithms": check.algorithms,
        "evidence": [
            {
                "kind": item.kind,
                "ordinal": item.ordinal,
                "outcome": item.outcome,
                "summary": item.summary,
                "version": item.version,
                "figures": item.data,
            }
            for item in evidence_of(check)
        ],
    }
    return {**content, "receipt_sha256": sha256_of(rfc8785.dumps(content))}


def receipt_bytes(check: Check) -> bytes:
    """Return the receipt as canonical JSON in UTF-8.

    Raises:
        ProductError: as :func:`receipt`.
    """
    return rfc8785.dumps(receipt(check))


# In English whatever the reader's language: a receipt has one form.
_VERDICT_WORDS = {
    Verdict.REGISTERED.value: "Registered",
    Verdict.PROBABLY_REGISTERED.value: "Probably registered",
    Verdict.PRIVATE_MATCH.value: "A private catalogue reports a match",
    Verdict.NOT_FOUND.value: "Not found here",
    Verdict.CANNOT_TELL.value: "Cannot tell",
}
