"""The accuracy page says what was measured, and nothing where nothing was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

RESULTS = {
    "machine": "a test's machine",
    "figures": {"checks_per_s": 1.0},
    "recall": {
        "pictures": 120,
        "registry": 4321,
        "columns": ["pdq alone", "verified"],
        "thresholds": {"pdq-v1": 42},
        "false_verified": [["a", "b"]],
        "rows": [
            {
                "edit": "screenshot",
                "cells": [{"column": "pdq alone", "text": "81 (73–87)"}, {"column": "verified", "text": "99 (95–100)"}],
            },
            {"edit": "all", "cells": [{"column": "pdq alone", "text": "70"}, {"column": "verified", "text": "90"}]},
        ],
    },
}


def shown(settings: Settings, folder: Path, results: object | None) -> str:
    """Return the page of an installation with those results, or none."""
    settings.BASE_DIR = folder
    if results is not None:
        (folder / "benchmarks" / "results").mkdir(parents=True)
        (folder / "benchmarks" / "results" / "site.json").write_text(json.dumps(results))
    response = Client().get(reverse("pages:accuracy"))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.django_db
def test_it_works(settings: Settings, tmp_path: Path) -> None:
    text = shown(settings, tmp_path, RESULTS)
    for words in (
        "120 photographs",
        "4,321 registered",
        "81 (73–87)",
        "99 (95–100)",
        "phone bars",
        "all edits above, pooled",
        "1 pair of different pictures",
        "a test&#x27;s machine",
    ):
        assert words in text


@pytest.mark.django_db
def test_without_figures_none_are_claimed(settings: Settings, tmp_path: Path) -> None:
    text = shown(settings, tmp_path, None)
    assert "No figures yet" in text
    assert "<table" not in text
