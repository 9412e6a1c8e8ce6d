"""Examples of the documentation. A test holds each against the schema of what it is an example of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

_SITE = "https://provenance.example"
_CHECK = "6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11"
_CATALOGUE = "b7f1a2c4-0f1d-4d39-8f1a-3f0f5a1b2c3d"
_ITEM = "0d9c8b7a-6f5e-4d3c-8b2a-190807060504"
_WORK = "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"
_IMPORT = "5e4d3c2b-1a09-4f8e-9d7c-6b5a49382716"
_ARTWORK = "3c2b1a09-8f7e-4d6c-9b5a-493827160514"
_TRAINING = "8b7a6c5d-4e3f-4b2c-9d1e-0f9a8b7c6d5e"
_PROOF = "7a6b5c4d-3e2f-4a1b-8c0d-9e8f7a6b5c4d"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PIXELS = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

_WORK_FIGURES = {
    "id": _WORK,
    "title": "Harbour at dawn",
    "owner": "The Archive",
    "registered_at": "2026-03-02T09:30:00+00:00",
    "sha256": _SHA256,
}


def _steps(keys: dict[str, str], now: int) -> list[dict[str, str]]:
    states = ["done" if at < now else "current" if at == now else "waiting" for at in range(len(keys))]
    return [
        {"key": key, "label": label, "state": state} for (key, label), state in zip(keys.items(), states, strict=True)
    ]


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


def _progress(keys: dict[str, str], *, now: int, percent: int, **more: Any) -> dict[str, Any]:
    progress = {"percent": percent, "steps": _steps(keys, now), "done": 0, "total": 0, "note": ""}
    return {**progress, "seconds_left": None, **more}


def _check(**more: Any) -> dict[str, Any]:
    return {
        "id": _CHECK,
        "state": "queued",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "file": {
            "name": "post.jpg",
            "sha256": _SHA256,
            "byte_size": 184320,
            "media_type": "image/jpeg",
            "width": None,
            "height": None,
            "kept_until": "2026-11-30T10:00:00.000000Z",
        },
        "verdict": None,
        "error": None,
        "links": {
            "self": f"{_SITE}/api/v1/checks/{_CHECK}",
            "receipt": f"{_SITE}/api/v1/checks/{_CHECK}/receipt",
            "page": f"{_SITE}/check/{_CHECK}/",
        },
        "progress": _progress(_CHECK_STEPS, now=len(_CHECK_STEPS), percent=0),
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
    "Begun", _check(progress={**_progress(_CHECK_STEPS, now=-1, percent=0)}), status_codes=["202"]
)
CHECK_RUNNING = OpenApiExample(
    "Under way",
    _check(
        state="running",
        file=_file(_check()),
        progress=_progress(_CHECK_STEPS, now=3, percent=38, done=1, total=2, note="phash-v1", seconds_left=1),
    ),
    status_codes=["200"],
)
CHECK_DONE = OpenApiExample(
    "Done",
    _check(
        state="succeeded",
        finished_at="2026-11-23T10:00:02.400000Z",
        file=_file(_check()),
        progress=_progress(_CHECK_STEPS, now=len(_CHECK_STEPS), percent=100),
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
        progress=_progress(_CHECK_STEPS, now=-1, percent=0),
        error={"code": "cancelled", "message": "Cancelled."},
        cancel_requested=True,
    ),
    status_codes=["200"],
)


def _page(path: str, row: dict[str, Any]) -> OpenApiExample:
    address = f"{_SITE}/api/v1{path}?cursor=WyIyMDI2LTExLTIzIiwiNmYzZDBlMmEiXQ"
    return OpenApiExample("Page", {"results": [row], "next": address}, status_codes=["200"])


CHECKS = _page(
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
        "issuer": _SITE,
        "check": _CHECK,
        "submitted_at": "2026-11-23T10:00:00.000+00:00",
        "finished_at": "2026-11-23T10:00:02.400+00:00",
        "picture": {
            "sha256": _SHA256,
            "pixel_sha256": _PIXELS,
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
        "id": _CATALOGUE,
        "name": "Press pictures",
        "description": "",
        "visibility": "public",
        "item_count": 1204,
        "created_at": "2026-03-01T08:00:00.000000Z",
        "links": {
            "self": f"{_SITE}/api/v1/catalogues/{_CATALOGUE}",
            "items": f"{_SITE}/api/v1/catalogues/{_CATALOGUE}/items",
            "hash": f"{_SITE}/api/v1/catalogues/{_CATALOGUE}/hash",
            "page": f"{_SITE}/catalogues/{_CATALOGUE}/",
        },
    },
    status_codes=["200"],
)
ITEM = OpenApiExample(
    "Picture",
    {
        "id": _ITEM,
        "filename": "harbour.jpg",
        "created_at": "2026-03-02T09:30:00.000000Z",
        "work": {
            "id": _WORK,
            "title": "Harbour at dawn",
            "creator": "A. Photographer",
            "licence": "All rights reserved",
            "source_url": "https://archive.example/harbour",
            "external_id": "AR-2041",
            "visibility": "public",
            "sha256": _SHA256,
            "pixel_sha256": _PIXELS,
            "media_type": "image/jpeg",
            "width": 3000,
            "height": 2000,
            "byte_size": 2457600,
        },
        "links": {
            "self": f"{_SITE}/api/v1/items/{_ITEM}",
            "catalogue": f"{_SITE}/api/v1/catalogues/{_CATALOGUE}",
            "page": f"{_SITE}/works/{_WORK}/",
        },
    },
    status_codes=["200"],
)


CATALOGUES = _page("/catalogues", CATALOGUE.value)
ITEMS = _page(f"/catalogues/{_CATALOGUE}/items", ITEM.value)


def _import(**more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("pending", "registered", "valid", "duplicate", "failed", "not_done"), 0)
    return {
        "id": _IMPORT,
        "state": "queued",
        "upload_name": "3 files",
        "dry_run": False,
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "progress": _progress(_IMPORT_STEPS, now=-1, percent=0),
        "counts": {**counts, "pending": 3},
        "notes": [],
        "error": None,
        "links": {
            "self": f"{_SITE}/api/v1/imports/{_IMPORT}",
            "rows": f"{_SITE}/api/v1/imports/{_IMPORT}/rows",
            "catalogue": f"{_SITE}/api/v1/catalogues/{_CATALOGUE}",
            "page": f"{_SITE}/catalogues/imports/{_IMPORT}/",
        },
        **more,
    }


IMPORT_BEGUN = OpenApiExample("Begun", _import(), status_codes=["202"])
IMPORT_DONE = OpenApiExample(
    "Done",
    _import(
        state="succeeded",
        finished_at="2026-11-23T10:00:04.100000Z",
        progress=_progress(_IMPORT_STEPS, now=len(_IMPORT_STEPS), percent=100, done=3, total=3),
        counts={**_import()["counts"], "pending": 0, "registered": 2, "duplicate": 1},
    ),
    status_codes=["200"],
)

ROWS = _page(
    f"/imports/{_IMPORT}/rows",
    {
        "index": 2,
        "filename": "harbour-copy.jpg",
        "state": "duplicate",
        "code": "same_pixels",
        "message": "The same pixels are registered already, as “Harbour at dawn”.",
        "sha256": _PIXELS,
        "item": f"{_SITE}/api/v1/items/{_ITEM}",
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

_ARTWORK_STEPS = {"reading": "Reading the words", "generating": "Generating", "registering": "Registering"}
_PROOF_STEPS = {
    "decoding": "Decoding the registered codes",
    "generating": "Making the work again",
    "comparing": "Comparing",
}


def _artwork(**more: Any) -> dict[str, Any]:
    return {
        "id": _ARTWORK,
        "state": "queued",
        "title": "Lake no. 4",
        "visibility": "public",
        "preset": "standard",
        "mode": "canonical",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "generated_at": None,
        "recipe_digest": _SHA256,
        "pixel_sha256": "",
        "latent_sha256": "",
        "progress": _progress(_ARTWORK_STEPS, now=-1, percent=0),
        "cancel_requested": False,
        "error": None,
        "links": {
            "self": f"{_SITE}/api/v1/artworks/{_ARTWORK}",
            "picture": f"{_SITE}/api/v1/artworks/{_ARTWORK}/picture",
            "record": f"{_SITE}/api/v1/artworks/{_ARTWORK}/record",
            "recipe": f"{_SITE}/api/v1/artworks/{_ARTWORK}/recipe",
            "proofs": f"{_SITE}/api/v1/artworks/{_ARTWORK}/proofs",
            "page": f"{_SITE}/artworks/{_ARTWORK}/",
        },
        **more,
    }


def _proof(**more: Any) -> dict[str, Any]:
    return {
        "id": _PROOF,
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
        "progress": _progress(_PROOF_STEPS, now=-1, percent=0),
        "error": None,
        "links": {
            "self": f"{_SITE}/api/v1/proofs/{_PROOF}",
            "artwork": f"{_SITE}/api/v1/artworks/{_ARTWORK}",
            "picture": f"{_SITE}/api/v1/proofs/{_PROOF}/picture",
            "difference": f"{_SITE}/api/v1/proofs/{_PROOF}/difference",
            "page": f"{_SITE}/artworks/{_ARTWORK}/proofs/{_PROOF}/",
        },
        **more,
    }


ARTWORK_BEGUN = OpenApiExample("Begun", _artwork(), status_codes=["202"])
ARTWORK_RUNNING = OpenApiExample(
    "Under way",
    _artwork(
        state="running",
        progress=_progress(_ARTWORK_STEPS, now=1, percent=36, done=40, total=110, seconds_left=22),
    ),
    status_codes=["200"],
)
ARTWORK_DONE = OpenApiExample(
    "Done",
    _artwork(
        state="succeeded",
        generated_at="2026-11-23T10:00:36.200000Z",
        pixel_sha256=_PIXELS,
        latent_sha256=_SHA256,
        progress=_progress(_ARTWORK_STEPS, now=len(_ARTWORK_STEPS), percent=100),
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
ARTWORKS = _page("/artworks", ARTWORK_DONE.value)
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
        pixel_sha256=_PIXELS,
        progress=_progress(_PROOF_STEPS, now=len(_PROOF_STEPS), percent=100),
    ),
    status_codes=["200"],
)
PROOFS = _page(f"/artworks/{_ARTWORK}/proofs", PROOF_DONE.value)
_RECIPE = {"algorithm": "noisehash-v1", "mode": "canonical", "side": 192, "iterations": 110, "crops": 32}
RECIPE = OpenApiExample("Recipe", _RECIPE, description="Shortened: a recipe has more fields.", status_codes=["200"])
RECORD = OpenApiExample(
    "Record",
    {
        "recipe": _RECIPE,
        "shape": [2, 24, 24],
        "codes": "AxQBkgC0…",
        "latent_sha256": _SHA256,
        "pixel_sha256": _PIXELS,
    },
    description="Shortened: a recipe has more fields, and there is a code for each place.",
    status_codes=["200"],
)

PRIVATE_CATALOGUE = OpenApiExample(
    "Private catalogue",
    {
        "id": _CATALOGUE,
        "name": "Not published yet",
        "holder": "The Archive",
        "algorithm": "pdq-v1",
        "bits": 256,
        "tau": 32,
        "policies": ["bit"],
        "entries": 1200,
        "state": 3,
        "agreement": _SHA256,
        "expected_false": {"measured": 0.0, "upper_bound": 0.000215},
        "questions_left": 20,
        "links": {
            "self": f"{_SITE}/api/v1/private-catalogues/{_CATALOGUE}",
            "kit": f"{_SITE}/api/v1/private-catalogues/{_CATALOGUE}/kit",
            "questions": f"{_SITE}/api/v1/private-catalogues/{_CATALOGUE}/questions",
        },
    },
    status_codes=["200"],
)
PRIVATE_CATALOGUES = _page("/private-catalogues", PRIVATE_CATALOGUE.value)
PRIVATE_BLOCK = OpenApiExample("Block", {"sha256": _SHA256, "byte_size": 1610622976}, status_codes=["200"])
PRIVATE_CONTENT = OpenApiExample("Checking", {"state": "checking", "catalogue": _CATALOGUE}, status_codes=["202"])
PRIVATE_QUESTION = OpenApiExample(
    "Question",
    {
        "id": _PROOF,
        "state": "running",
        "policy": "bit",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "finished_at": None,
        "progress": _progress(
            {"ask": "Asking the private catalogue"}, now=0, percent=50, note="comparing with every encrypted entry"
        ),
        "entries": 0,
        "seconds": 0.0,
        "sent_bytes": 0,
        "answer_bytes": 0,
        "error": None,
        "links": {
            "self": f"{_SITE}/api/v1/private-questions/{_PROOF}",
            "answer": f"{_SITE}/api/v1/private-questions/{_PROOF}/answer",
            "catalogue": f"{_SITE}/api/v1/private-catalogues/{_CATALOGUE}",
        },
    },
    status_codes=["200", "202"],
)


def _signed_work(**more: Any) -> dict[str, Any]:
    where = f"{_SITE}/api/v1/works/{_WORK}/signature"
    return {
        "number": 4711,
        "state": "ready",
        "created_at": "2026-11-23T10:00:00.000000Z",
        "error": None,
        "links": {"self": where, "picture": f"{where}/picture", "page": f"{_SITE}/works/{_WORK}/signature/"},
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
        "work": {"id": _WORK, "title": "Harbour at dawn", "page": f"{_SITE}/works/{_WORK}/"},
        "placement": {"turned_degrees": 0.0, "magnified": 1.0, "mirrored": True, "fit": 0.83},
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
        "self": f"{_SITE}/api/v1/generators/{_GENERATOR_ID}",
        "recipe": f"{_SITE}/api/v1/generators/{_GENERATOR_ID}/recipe",
        "page": f"{_SITE}/signatures/{_GENERATOR_ID}/",
    },
}
GENERATOR = OpenApiExample("Generator", _GENERATOR, status_codes=["200"])
GENERATOR_MADE = OpenApiExample("Made", _GENERATOR, status_codes=["201"])
GENERATORS = _page("/generators", _GENERATOR)
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


_HASHING_STEPS = {"hashing": "Giving the pictures their codes"}
_TRAINING_STEPS = {"reading": "Reading the pictures", "learning": "Learning", "measuring": "Measuring thresholds"}
_TRAINED = f"con-vae-64-{_TRAINING.replace('-', '')[:12]}"
_TRAINED_AT = f"{_SITE}/api/v1/trainings/{_TRAINING}"
_OF_CATALOGUE = f"{_SITE}/api/v1/catalogues/{_CATALOGUE}"


def _hashing(**more: Any) -> dict[str, Any]:
    progress = _progress(_HASHING_STEPS, now=0, percent=50, done=600, total=1200, seconds_left=12)
    return {"state": "running", "progress": progress, "cancel_requested": False, "error": None, **more}


def _deep_hash(**more: Any) -> dict[str, Any]:
    return {
        "algorithm": "edit-hash-64-v1",
        "pictures": 1204,
        "coded": 600,
        "unreadable": 0,
        "plain": 4,
        "hashing": _hashing(),
        "training": None,
        "choices": [
            {
                "algorithm": "edit-hash-64-v1",
                "description": "Edit hash, 64 bits: survives rotations, crops, noise and mirroring",
                "bits": 64,
                "reconstructs": False,
                "training": None,
            },
            {
                "algorithm": _TRAINED,
                "description": f"{_TRAINED}, learnt from “Press pictures”",
                "bits": 64,
                "reconstructs": True,
                "training": _TRAINED_AT,
            },
        ],
        "links": {
            "self": f"{_OF_CATALOGUE}/hash",
            "cancel": f"{_OF_CATALOGUE}/hash/cancel",
            "look_up": f"{_OF_CATALOGUE}/hash/look-up",
            "trainings": f"{_OF_CATALOGUE}/trainings",
            "page": f"{_SITE}/catalogues/{_CATALOGUE}/hash/",
        },
        **more,
    }


def _training(**more: Any) -> dict[str, Any]:
    return {
        "id": _TRAINING,
        "algorithm": _TRAINED,
        "state": "queued",
        "kind": "con-vae",
        "bits": 64,
        "created_at": "2026-11-23T10:00:00.000000Z",
        "trained_at": None,
        "pictures": 0,
        "held_out": 0,
        "history": [],
        "progress": _progress(_TRAINING_STEPS, now=-1, percent=0),
        "cancel_requested": False,
        "error": None,
        "links": {
            "self": _TRAINED_AT,
            "cancel": f"{_TRAINED_AT}/cancel",
            "hash": f"{_OF_CATALOGUE}/hash",
            "page": f"{_SITE}/catalogues/{_CATALOGUE}/hash/",
        },
        **more,
    }


DEEP_HASH = OpenApiExample("Deep hash", _deep_hash(), status_codes=["200"])
DEEP_HASH_CANCELLED = OpenApiExample(
    "Cancelled",
    _deep_hash(
        hashing=_hashing(
            state="cancelled",
            progress={**_hashing()["progress"], "steps": [{**_steps(_HASHING_STEPS, 0)[0], "state": "cancelled"}],
                      "seconds_left": None},
            cancel_requested=True,
            error={"code": "cancelled", "message": "Cancelled."},
        )
    ),
    status_codes=["200"],
)  # fmt: skip
LOOK_UP = OpenApiExample(
    "A noisy copy",
    {
        "algorithm": "edit-hash-64-v1",
        "bits": 64,
        "code": "9f86d081884c7d65",
        "reconstruction": None,
        "reconstruction_psnr_db": None,
        "near_radius": 9,
        "near_radius_source": "measured: at most 1e-06 of 1,059,240 pairs of different pictures",
        "measured_pairs": 1059240,
        "expected_false_at_most": 0.00534,
        "near": True,
        "results": [
            {
                "work": {"id": _WORK, "title": "Harbour at dawn", "page": f"{_SITE}/works/{_WORK}/"},
                "item": f"{_SITE}/api/v1/items/{_ITEM}",
                "distance": 1,
                "feature_distance": 0.00004,
                "near": True,
                "identical": False,
                "psnr_db": 31.7,
                "ssim": 0.912,
            }
        ],
    },
    status_codes=["200"],
)
TRAINING_BEGUN = OpenApiExample("Begun", _training(), status_codes=["202"])
TRAINING_RUNNING = OpenApiExample(
    "Under way",
    _training(
        state="running",
        progress=_progress(
            _TRAINING_STEPS, now=1, percent=41, done=540, total=1480, note="15.2 dB", seconds_left=280
        ),
    ),
    status_codes=["200"],
)
TRAINING_DONE = OpenApiExample(
    "Done",
    _training(
        state="succeeded",
        trained_at="2026-11-23T10:09:12.300000Z",
        pictures=1080,
        held_out=120,
        history=[{"train_mse": 1894.2, "train_psnr": 15.9, "tune_mse": 2011.7, "tune_psnr": 15.6}],
        progress=_progress(_TRAINING_STEPS, now=len(_TRAINING_STEPS), percent=100),
    ),
    status_codes=["200"],
)
TRAINING_CANCELLED = OpenApiExample(
    "Cancelled",
    _training(state="cancelled", cancel_requested=True, error={"code": "cancelled", "message": "Cancelled."}),
    status_codes=["200"],
)
TRAININGS = _page(f"/catalogues/{_CATALOGUE}/trainings", TRAINING_DONE.value)
