"""Examples of checks, catalogues, imports and keys. A test holds each against the schema of what it is
an example of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from webapp.api.example_parts import (
    CATALOGUE_ID,
    CHECK_ID,
    FILE_SHA256,
    IMPORT_ID,
    ITEM_ID,
    PIXEL_SHA256,
    SITE,
    WORK_ID,
    page_with,
    progress_at,
)

_WORK_FIGURES = {
    "id": WORK_ID,
    "title": "Harbour at dawn",
    "owner": "The Archive",
    "registered_at": "2026-03-02T09:30:00+00:00",
    "sha256": FILE_SHA256,
}


_CHECK_STEPS = {
    "received": "Received",
    "decode": "Opening the picture",
    "exact": "Looking for the same file",
    "fingerprints": "Taking fingerprints",
    "candidates": "Searching for look-alikes",
    "signature": "Looking for a signature",
    "verification": "Comparing side by side",
    "private": "Asking private catalogues",
    "weighing": "Holding the signature against its record",
    "origin": "Asking whether AI made it",
    "verdict": "Weighing the evidence",
}
_IMPORT_STEPS = {"reading": "Reading the upload", "pictures": "Pictures"}


def _check(**more: Any) -> dict[str, Any]:
    return {
        "id": CHECK_ID,
        "state": "queued",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "file": {
            "name": "post.jpg",
            "sha256": FILE_SHA256,
            "byte_size": 184320,
            "media_type": "image/jpeg",
            "width": None,
            "height": None,
            "kept_until": "2026-11-30T10:00:00.000000Z",
        },
        "verdict": None,
        "error": None,
        "links": {
            "self": f"{SITE}/api/v1/checks/{CHECK_ID}",
            "receipt": f"{SITE}/api/v1/checks/{CHECK_ID}/receipt",
            "page": f"{SITE}/check/{CHECK_ID}/",
        },
        "progress": progress_at(_CHECK_STEPS, now=len(_CHECK_STEPS), percent=0),
        "cancel_requested": False,
        "evidence": [],
        **more,
    }


_PAIR = {
    "kind": "pair",
    "ordinal": 0,
    "outcome": "for",
    "summary": "Laid over “Harbour at dawn” (registered by The Archive), the two agree.",
    "version": "verify-v2",
}
_PAIR_FIGURES = {
    "work": _WORK_FIGURES,
    "near": True,
    "distances": {"pdq-v1": {"distance": 22, "variant": "identity"}},
    "verdict": "verified",
    "probability": 0.9998,
    "inliers": 214,
    "overlap_reference": 0.83,
    "changes": ["cropped", "recoloured"],
}
_ORIGIN = {
    "kind": "origin",
    "ordinal": 0,
    "outcome": "neutral",
    "summary": "Whether AI made this picture cannot be told from how it looks.",
    "version": "ai-detector-v2",
    "figures": {
        "band": "cannot_tell",
        "probability": None,
        "margin": -0.5203,
        "margin_thresholds": {"likely_ai": 0.5541, "likely_not_ai": -1.5883},
        "asked_error": {"photographs": 0.01, "drawings": 0.02},
        "measured": {
            "gpt4o": {
                "pictures": 107,
                "files": 107,
                "likely_ai": {"share": 0.2243, "low": 0.1556, "high": 0.3121},
                "likely_not_ai": {"share": 0.2243, "low": 0.1556, "high": 0.3121},
            }
        },
        "features": "text-image",
        "generators": ["sd15", "gpt4o"],
        "crops": [{"left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0, "margin": -0.5203}],
    },
}
_EXPLANATION = (
    "This picture shows the work “Harbour at dawn” (registered by The Archive): laid over each other they agree, and"
    " 83% of the registered picture is in it."
)
_ALGORITHMS = {"file": "sha256", "fingerprint pdq": "pdq-v1", "verification": "verify-v2", "verdict": "verdict-v2"}


def _file(check: dict[str, Any]) -> dict[str, Any]:
    return {**check["file"], "width": 1080, "height": 720}


CHECK_BEGUN = OpenApiExample(
    "Begun", _check(progress={**progress_at(_CHECK_STEPS, now=-1, percent=0)}), status_codes=["202"]
)
CHECK_RUNNING = OpenApiExample(
    "Under way",
    _check(
        state="running",
        file=_file(_check()),
        progress=progress_at(_CHECK_STEPS, now=3, percent=38, done=1, total=2, note="phash-v1", seconds_left=1),
    ),
    status_codes=["200"],
)
CHECK_DONE = OpenApiExample(
    "Done",
    _check(
        state="succeeded",
        finished_at="2026-11-23T10:00:02.400000Z",
        file=_file(_check()),
        progress=progress_at(_CHECK_STEPS, now=len(_CHECK_STEPS), percent=100),
        verdict={
            "code": "registered",
            "label": "Registered",
            "explanation": _EXPLANATION,
            "registry_size": 48210,
            "algorithms": _ALGORITHMS,
        },
        evidence=[{**_PAIR, "figures": _PAIR_FIGURES}, _ORIGIN],
    ),
    status_codes=["200"],
)

CHECK_CANCELLED = OpenApiExample(
    "Cancelled",
    _check(
        state="cancelled",
        finished_at="2026-11-23T10:00:00.700000Z",
        progress=progress_at(_CHECK_STEPS, now=-1, percent=0),
        error={"code": "cancelled", "message": "Cancelled."},
        cancel_requested=True,
    ),
    status_codes=["200"],
)


CHECKS = page_with(
    "/checks",
    {name: part for name, part in CHECK_DONE.value.items() if name not in ("progress", "cancel_requested", "evidence")},
)

RECEIPT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Canonical JSON (RFC 8785).",
    "properties": {
        "schema": {"type": "string", "const": "provenance.receipt.v1"},
        "issuer": {"type": "string", "description": "The site that answers for it."},
        "check": {"type": "string", "format": "uuid"},
        "submitted_at": {"type": "string", "format": "date-time"},
        "finished_at": {"type": "string", "format": "date-time"},
        "picture": {
            "type": "object",
            "properties": {
                "sha256": {"type": "string"},
                "pixel_sha256": {"type": "string"},
                "byte_size": {"type": "integer"},
                "media_type": {"type": "string"},
                "width": {"type": "integer"},
                "height": {"type": "integer"},
            },
            "required": ["sha256", "pixel_sha256", "byte_size", "media_type", "width", "height"],
        },
        "verdict": {
            "type": "string",
            "enum": ["registered", "probably_registered", "private_match", "not_found", "cannot_tell"],
        },
        "verdict_words": {"type": "string"},
        "explanation": {"type": "string"},
        "registry_size": {"type": "integer"},
        "algorithms": {"type": "object", "additionalProperties": {"type": "string"}},
        "evidence": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "ordinal": {"type": "integer"},
                    "outcome": {"type": "string", "enum": ["for", "leans", "against", "neutral"]},
                    "summary": {"type": "string"},
                    "version": {"type": "string"},
                    "figures": {"type": "object", "additionalProperties": True},
                },
                "required": ["kind", "ordinal", "outcome", "summary", "version", "figures"],
            },
        },
        "receipt_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}
RECEIPT_SCHEMA["required"] = list(RECEIPT_SCHEMA["properties"])
RECEIPT = OpenApiExample(
    "Receipt",
    {
        "schema": "provenance.receipt.v1",
        "issuer": SITE,
        "check": CHECK_ID,
        "submitted_at": "2026-11-23T10:00:00.000+00:00",
        "finished_at": "2026-11-23T10:00:02.400+00:00",
        "picture": {
            "sha256": FILE_SHA256,
            "pixel_sha256": PIXEL_SHA256,
            "byte_size": 184320,
            "media_type": "image/jpeg",
            "width": 1080,
            "height": 720,
        },
        "verdict": "registered",
        "verdict_words": "Registered",
        "explanation": _EXPLANATION,
        "registry_size": 48210,
        "algorithms": _ALGORITHMS,
        "evidence": [{**_PAIR, "figures": _PAIR_FIGURES}, _ORIGIN],
        "receipt_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    },
    status_codes=["200"],
)

CATALOGUE = OpenApiExample(
    "Catalogue",
    {
        "id": CATALOGUE_ID,
        "name": "Press pictures",
        "description": "",
        "visibility": "public",
        "item_count": 1204,
        "created_at": "2026-03-01T08:00:00.000000Z",
        "links": {
            "self": f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}",
            "items": f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}/items",
            "hash": f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}/hash",
            "page": f"{SITE}/catalogues/{CATALOGUE_ID}/",
        },
    },
    status_codes=["200"],
)
ITEM = OpenApiExample(
    "Picture",
    {
        "id": ITEM_ID,
        "filename": "harbour.jpg",
        "created_at": "2026-03-02T09:30:00.000000Z",
        "work": {
            "id": WORK_ID,
            "title": "Harbour at dawn",
            "creator": "A. Photographer",
            "licence": "All rights reserved",
            "source_url": "https://archive.example/harbour",
            "external_id": "AR-2041",
            "visibility": "public",
            "sha256": FILE_SHA256,
            "pixel_sha256": PIXEL_SHA256,
            "media_type": "image/jpeg",
            "width": 3000,
            "height": 2000,
            "byte_size": 2457600,
        },
        "links": {
            "self": f"{SITE}/api/v1/items/{ITEM_ID}",
            "catalogue": f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}",
            "page": f"{SITE}/works/{WORK_ID}/",
        },
    },
    status_codes=["200"],
)


CATALOGUES = page_with("/catalogues", CATALOGUE.value)
ITEMS = page_with(f"/catalogues/{CATALOGUE_ID}/items", ITEM.value)


def _import(**more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("pending", "registered", "valid", "duplicate", "failed", "not_done"), 0)
    return {
        "id": IMPORT_ID,
        "state": "queued",
        "upload_name": "3 files",
        "dry_run": False,
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "progress": progress_at(_IMPORT_STEPS, now=-1, percent=0),
        "counts": {**counts, "pending": 3},
        "notes": [],
        "error": None,
        "links": {
            "self": f"{SITE}/api/v1/imports/{IMPORT_ID}",
            "rows": f"{SITE}/api/v1/imports/{IMPORT_ID}/rows",
            "catalogue": f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}",
            "page": f"{SITE}/catalogues/imports/{IMPORT_ID}/",
        },
        **more,
    }


IMPORT_BEGUN = OpenApiExample("Begun", _import(), status_codes=["202"])
IMPORT_DONE = OpenApiExample(
    "Done",
    _import(
        state="succeeded",
        finished_at="2026-11-23T10:00:04.100000Z",
        progress=progress_at(_IMPORT_STEPS, now=len(_IMPORT_STEPS), percent=100, done=3, total=3),
        counts={**_import()["counts"], "pending": 0, "registered": 2, "duplicate": 1},
    ),
    status_codes=["200"],
)

ROWS = page_with(
    f"/imports/{IMPORT_ID}/rows",
    {
        "index": 2,
        "filename": "harbour-copy.jpg",
        "state": "duplicate",
        "code": "same_pixels",
        "message": "The same pixels are registered already, as “Harbour at dawn”.",
        "sha256": PIXEL_SHA256,
        "item": f"{SITE}/api/v1/items/{ITEM_ID}",
    },
)

ME = OpenApiExample(
    "Key",
    {
        "id": "c0ffee00-1234-4abc-8def-0123456789ab",
        "name": "Newsroom",
        "prefix": "pvk_Xy12Ab",
        "organisation": {"id": "d00dfeed-4321-4cba-8fed-ba9876543210", "name": "The Archive"},
        "scopes": ["check:read", "check:write"],
        "created_at": "2026-01-05T12:00:00.000000Z",
        "expires_at": "2027-01-05T12:00:00.000000Z",
        "limits": {
            "requests_per_minute": 600,
            "checks_per_hour": 6000,
            "artworks_per_hour": 20,
            "file_max_bytes": 31457280,
            "picture_max_pixels": 80000000,
            "check_kept_hours": 168,
            "import_max_files": 500,
            "import_max_bytes": 4294967296,
            "signature_max_bytes": 209715200,
            "storage_quota_bytes": 10737418240,
            "storage_used_bytes": 2457600,
        },
    },
    status_codes=["200"],
)
