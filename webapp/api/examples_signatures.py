"""Examples of signatures and generators. A test holds each against the schema of what it is
an example of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from webapp.api.example_parts import (
    SITE,
    WORK_ID,
    page_with,
)


def _signed_work(**more: Any) -> dict[str, Any]:
    where = f"{SITE}/api/v1/works/{WORK_ID}/signature"
    return {
        "number": 4711,
        "state": "ready",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "error": None,
        "links": {"self": where, "picture": f"{where}/picture", "page": f"{SITE}/works/{WORK_ID}/signature/"},
        **more,
    }


SIGNED_WORK = OpenApiExample("Signed", _signed_work(), status_codes=["200"])
SIGNING_BEGUN = OpenApiExample("Begun", _signed_work(state="signing"), status_codes=["202"])
_NOTHING_READ = {
    "standing": "none",
    "false_acceptance": 3.637978807091713e-12,
    "presence": 0.1713,
    "number": None,
    "organisation": None,
    "generator": None,
    "work": None,
    "placement": None,
    "same_picture": None,
    "distance": None,
}
NO_READING = OpenApiExample("None found", _NOTHING_READ, status_codes=["200"])
READING = OpenApiExample(
    "A mirrored copy",
    {
        **_NOTHING_READ,
        "standing": "work",
        "presence": 0.9911,
        "number": 4711,
        "organisation": "The Archive",
        "work": {"id": WORK_ID, "title": "Harbour at dawn", "page": f"{SITE}/works/{WORK_ID}/"},
        "placement": {"turned_degrees": 0.0, "magnified": 1.0, "mirrored": True, "fit": 0.83},
        "same_picture": "yes",
        "distance": {
            "hash_algorithm": "dinohash-house-v2",
            "distance": 2,
            "bits": 96,
            "near_radius": 9,
            "candidate_radius": 18,
            "different_within_candidate_radius": 6.15e-05,
            "different_within_candidate_radius_at_most": 7.56e-05,
        },
    },
    status_codes=["200"],
)
_GENERATOR_ID = "2d3c4b5a-6978-4f8e-9d0c-1b2a39485766"
_GENERATOR = {
    "id": _GENERATOR_ID,
    "name": "Painter 1",
    "number": 815,
    "created_at": "2026-11-23T10:00:00.000000Z",
    "revoked_at": None,
    "links": {
        "self": f"{SITE}/api/v1/generators/{_GENERATOR_ID}",
        "recipe": f"{SITE}/api/v1/generators/{_GENERATOR_ID}/recipe",
        "page": f"{SITE}/signatures/{_GENERATOR_ID}/",
    },
}
GENERATOR = OpenApiExample("Generator", _GENERATOR, status_codes=["200"])
GENERATOR_MADE = OpenApiExample("Made", _GENERATOR, status_codes=["201"])
GENERATORS = page_with("/generators", _GENERATOR)
GENERATOR_RECIPE = OpenApiExample(
    "Recipe",
    {
        "schema": "provenance.signature-recipe.v1",
        "algorithm": "signature-v1",
        "generator": "Painter 1",
        "number": 815,
        "tag": "0123456789",
    },
    status_codes=["200"],
)
