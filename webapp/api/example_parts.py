"""What examples of the documentation are made of."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

SITE = "https://provenance.example"
CHECK_ID = "6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11"
CATALOGUE_ID = "b7f1a2c4-0f1d-4d39-8f1a-3f0f5a1b2c3d"
ITEM_ID = "0d9c8b7a-6f5e-4d3c-8b2a-190807060504"
WORK_ID = "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"
IMPORT_ID = "5e4d3c2b-1a09-4f8e-9d7c-6b5a49382716"
ARTWORK_ID = "3c2b1a09-8f7e-4d6c-9b5a-493827160514"
TRAINING_ID = "8b7a6c5d-4e3f-4b2c-9d1e-0f9a8b7c6d5e"
PROOF_ID = "7a6b5c4d-3e2f-4a1b-8c0d-9e8f7a6b5c4d"
FILE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PIXEL_SHA256 = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"


def steps_at(keys: dict[str, str], now: int) -> list[dict[str, str]]:
    """Return the steps of work that is at the step of that place."""
    states = ["done" if at < now else "current" if at == now else "waiting" for at in range(len(keys))]
    return [
        {"key": key, "label": label, "state": state} for (key, label), state in zip(keys.items(), states, strict=True)
    ]


def progress_at(keys: dict[str, str], *, now: int, percent: int, **more: Any) -> dict[str, Any]:
    """Return the progress of work that is at the step of that place."""
    progress = {"percent": percent, "steps": steps_at(keys, now), "done": 0, "total": 0, "note": ""}
    return {**progress, "seconds_left": None, **more}


def page_with(path: str, row: dict[str, Any]) -> OpenApiExample:
    """Return an example of a page that lists one row."""
    address = f"{SITE}/api/v1{path}?cursor=WyIyMDI2LTExLTIzIiwiNmYzZDBlMmEiXQ"
    return OpenApiExample("Page", {"results": [row], "next": address}, status_codes=["200"])
