"""Examples of private catalogues. A test holds each against the schema of what it is
an example of."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

from webapp.api.example_parts import (
    CATALOGUE_ID,
    FILE_SHA256,
    PROOF_ID,
    SITE,
    page_with,
    progress_at,
)

PRIVATE_CATALOGUE = OpenApiExample(
    "Private catalogue",
    {
        "id": CATALOGUE_ID,
        "name": "Not published yet",
        "holder": "The Archive",
        "algorithm": "pdq-v1",
        "bits": 256,
        "tau": 32,
        "policies": ["bit"],
        "entries": 1200,
        "state": 3,
        "agreement": FILE_SHA256,
        "expected_false": {"measured": 0.0, "upper_bound": 0.000215},
        "questions_left": 20,
        "links": {
            "self": f"{SITE}/api/v1/private-catalogues/{CATALOGUE_ID}",
            "kit": f"{SITE}/api/v1/private-catalogues/{CATALOGUE_ID}/kit",
            "questions": f"{SITE}/api/v1/private-catalogues/{CATALOGUE_ID}/questions",
        },
    },
    status_codes=["200"],
)
PRIVATE_CATALOGUES = page_with("/private-catalogues", PRIVATE_CATALOGUE.value)
PRIVATE_BLOCK = OpenApiExample("Block", {"sha256": FILE_SHA256, "byte_size": 1610622976}, status_codes=["200"])
PRIVATE_CONTENT = OpenApiExample("Checking", {"state": "checking", "catalogue": CATALOGUE_ID}, status_codes=["202"])
PRIVATE_QUESTION = OpenApiExample(
    "Question",
    {
        "id": PROOF_ID,
        "state": "running",
        "policy": "bit",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "progress": progress_at(
            {"ask": "Asking the private catalogue"}, now=0, percent=50, note="comparing with every encrypted entry"
        ),
        "entries": 0,
        "seconds": 0.0,
        "sent_bytes": 0,
        "answer_bytes": 0,
        "error": None,
        "links": {
            "self": f"{SITE}/api/v1/private-questions/{PROOF_ID}",
            "answer": f"{SITE}/api/v1/private-questions/{PROOF_ID}/answer",
            "catalogue": f"{SITE}/api/v1/private-catalogues/{CATALOGUE_ID}",
        },
    },
    status_codes=["200", "202"],
)
