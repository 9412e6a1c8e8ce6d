"""Examples of deep hashes. A test holds each against the schema of what it is
an example of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from webapp.api.example_parts import (
    CATALOGUE_ID,
    ITEM_ID,
    SITE,
    TRAINING_ID,
    WORK_ID,
    page_with,
    progress_at,
    steps_at,
)

_HASHING_STEPS = {"hashing": "Giving the pictures their codes"}
_TRAINING_STEPS = {"reading": "Reading the pictures", "learning": "Learning", "measuring": "Measuring thresholds"}
_TRAINED = f"con-vae-64-{TRAINING_ID.replace('-', '')[:12]}"
_TRAINED_AT = f"{SITE}/api/v1/trainings/{TRAINING_ID}"
_OF_CATALOGUE = f"{SITE}/api/v1/catalogues/{CATALOGUE_ID}"


def _hashing(**more: Any) -> dict[str, Any]:
    progress = progress_at(_HASHING_STEPS, now=0, percent=50, done=600, total=1200, seconds_left=12)
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
            "page": f"{SITE}/catalogues/{CATALOGUE_ID}/hash/",
        },
        **more,
    }


def _training(**more: Any) -> dict[str, Any]:
    return {
        "id": TRAINING_ID,
        "algorithm": _TRAINED,
        "state": "queued",
        "kind": "con-vae",
        "bits": 64,
        "created_at": "2026-11-23T10:00:00.000000Z",
        "trained_at": None,
        "pictures": 0,
        "held_out": 0,
        "history": [],
        "progress": progress_at(_TRAINING_STEPS, now=-1, percent=0),
        "cancel_requested": False,
        "error": None,
        "links": {
            "self": _TRAINED_AT,
            "cancel": f"{_TRAINED_AT}/cancel",
            "hash": f"{_OF_CATALOGUE}/hash",
            "page": f"{SITE}/catalogues/{CATALOGUE_ID}/hash/",
        },
        **more,
    }


DEEP_HASH = OpenApiExample("Deep hash", _deep_hash(), status_codes=["200"])
DEEP_HASH_CANCELLED = OpenApiExample(
    "Cancelled",
    _deep_hash(
        hashing=_hashing(
            state="cancelled",
            progress={**_hashing()["progress"], "steps": [{**steps_at(_HASHING_STEPS, 0)[0], "state": "cancelled"}],
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
        "near_radius_source": "measured: at most one in 1,000,000 of 1,059,240 pairs of different pictures",
        "measured_pairs": 1059240,
        "expected_false_at_most": 0.00534,
        "near": True,
        "results": [
            {
                "work": {"id": WORK_ID, "title": "Harbour at dawn", "page": f"{SITE}/works/{WORK_ID}/"},
                "item": f"{SITE}/api/v1/items/{ITEM_ID}",
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
        progress=progress_at(
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
        progress=progress_at(_TRAINING_STEPS, now=len(_TRAINING_STEPS), percent=100),
    ),
    status_codes=["200"],
)
TRAINING_CANCELLED = OpenApiExample(
    "Cancelled",
    _training(state="cancelled", cancel_requested=True, error={"code": "cancelled", "message": "Cancelled."}),
    status_codes=["200"],
)
TRAININGS = page_with(f"/catalogues/{CATALOGUE_ID}/trainings", TRAINING_DONE.value)
