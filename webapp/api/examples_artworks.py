"""Examples of artworks and proofs. A test holds each against the schema of what it is
an example of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from webapp.api.example_parts import (
    ARTWORK_ID,
    FILE_SHA256,
    PIXEL_SHA256,
    PROOF_ID,
    SITE,
    page_with,
    progress_at,
)

_ARTWORK_STEPS = {"reading": "Reading the words", "generating": "Generating", "registering": "Registering"}
_PROOF_STEPS = {
    "decoding": "Decoding the registered codes",
    "generating": "Making the work again",
    "comparing": "Comparing",
}


def _artwork(**more: Any) -> dict[str, Any]:
    return {
        "id": ARTWORK_ID,
        "state": "queued",
        "title": "Lake no. 4",
        "visibility": "public",
        "preset": "standard",
        "mode": "canonical",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "generated_at": None,
        "recipe_digest": FILE_SHA256,
        "pixel_sha256": "",
        "latent_sha256": "",
        "progress": progress_at(_ARTWORK_STEPS, now=-1, percent=0),
        "cancel_requested": False,
        "error": None,
        "links": {
            "self": f"{SITE}/api/v1/artworks/{ARTWORK_ID}",
            "picture": f"{SITE}/api/v1/artworks/{ARTWORK_ID}/picture",
            "record": f"{SITE}/api/v1/artworks/{ARTWORK_ID}/record",
            "recipe": f"{SITE}/api/v1/artworks/{ARTWORK_ID}/recipe",
            "proofs": f"{SITE}/api/v1/artworks/{ARTWORK_ID}/proofs",
            "page": f"{SITE}/artworks/{ARTWORK_ID}/",
        },
        **more,
    }


def _proof(**more: Any) -> dict[str, Any]:
    return {
        "id": PROOF_ID,
        "state": "queued",
        "created_at": "2026-11-23T11:00:00.000000Z",
        "prompt_fits": True,
        "key_fits": True,
        "file_fits": True,
        "redecoded": None,
        "verdict": "",
        "codes_equal": None,
        "latent_equal": None,
        "psnr_db": None,
        "ssim": None,
        "equal_share": None,
        "hash_distance": None,
        "pixel_sha256": "",
        "progress": progress_at(_PROOF_STEPS, now=-1, percent=0),
        "error": None,
        "links": {
            "self": f"{SITE}/api/v1/proofs/{PROOF_ID}",
            "artwork": f"{SITE}/api/v1/artworks/{ARTWORK_ID}",
            "picture": f"{SITE}/api/v1/proofs/{PROOF_ID}/picture",
            "difference": f"{SITE}/api/v1/proofs/{PROOF_ID}/difference",
            "page": f"{SITE}/artworks/{ARTWORK_ID}/proofs/{PROOF_ID}/",
        },
        **more,
    }


ARTWORK_BEGUN = OpenApiExample("Begun", _artwork(), status_codes=["202"])
ARTWORK_RUNNING = OpenApiExample(
    "Under way",
    _artwork(
        state="running",
        progress=progress_at(_ARTWORK_STEPS, now=1, percent=36, done=40, total=110, seconds_left=22),
    ),
    status_codes=["200"],
)
ARTWORK_DONE = OpenApiExample(
    "Done",
    _artwork(
        state="succeeded",
        generated_at="2026-11-23T10:00:36.200000Z",
        pixel_sha256=PIXEL_SHA256,
        latent_sha256=FILE_SHA256,
        progress=progress_at(_ARTWORK_STEPS, now=len(_ARTWORK_STEPS), percent=100),
    ),
    status_codes=["200"],
)
ARTWORK_CANCELLED = OpenApiExample(
    "Cancelled",
    _artwork(
        state="cancelled",
        cancel_requested=True,
        error={"code": "cancelled", "message": "This was cancelled before it was done."},
    ),
    status_codes=["200"],
)
ARTWORKS = page_with("/artworks", ARTWORK_DONE.value)
PROOF_BEGUN = OpenApiExample("Begun", _proof(), status_codes=["202"])
PROOF_DONE = OpenApiExample(
    "Identical",
    _proof(
        state="succeeded",
        redecoded=True,
        verdict="identical",
        codes_equal=True,
        latent_equal=True,
        ssim=1.0,
        equal_share=1.0,
        hash_distance=0,
        pixel_sha256=PIXEL_SHA256,
        progress=progress_at(_PROOF_STEPS, now=len(_PROOF_STEPS), percent=100),
    ),
    status_codes=["200"],
)
PROOFS = page_with(f"/artworks/{ARTWORK_ID}/proofs", PROOF_DONE.value)
_RECIPE = {"algorithm": "noisehash-v1", "mode": "canonical", "side": 192, "iterations": 110, "crops": 32}
RECIPE = OpenApiExample("Recipe", _RECIPE, description="Shortened: a recipe has more fields.", status_codes=["200"])
RECORD = OpenApiExample(
    "Record",
    {
        "recipe": _RECIPE,
        "shape": [2, 24, 24],
        "codes": "AxQBkgC0…",
        "latent_sha256": FILE_SHA256,
        "pixel_sha256": PIXEL_SHA256,
    },
    description="Shortened: a recipe has more fields, and there is a code for each place.",
    status_codes=["200"],
)
