"""The accuracy page says what was measured, and nothing where nothing was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from provenance.detection.detector import VERSION as DETECTOR_VERSION
from provenance.matching.verify import VERSION

RESULTS = {
    "machine": "a test's machine",
    "verification": VERSION,
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
def test_figures_of_an_earlier_verification_are_not_shown(settings: Settings, tmp_path: Path) -> None:
    assert "No figures yet" in shown(settings, tmp_path, {**RESULTS, "verification": "verify-v1"})


@pytest.mark.django_db
def test_the_figures_of_this_repository_can_be_shown() -> None:
    response = Client().get(reverse("pages:accuracy"))
    assert response.status_code == 200
    assert "Beside other methods" in response.content.decode()


@pytest.mark.django_db
def test_without_figures_none_are_claimed(settings: Settings, tmp_path: Path) -> None:
    text = shown(settings, tmp_path, None)
    assert "No figures yet" in text
    assert "<table" not in text


HASHING = {
    "machine": "another machine",
    "verification": VERSION,
    "figures": {"impostor_pairs": 1234567},
    "queries": 60,
    "registry": 1500,
    "verified_by_stack": {"dinohash_blur": "98.3 (91.1-99.7)"},
    "stacks": {"head": ["method", "stack"], "rows": [["NeuralHash", "blur"]]},
    "thorn": {"head": ["edit", "verified"], "rows": [["flip", "100.0 (94.0-100.0)"]]},
    "attacks": {"dinohash-house-v2": {"bits_8": 0.71, "evaded_8": 0.25}},
    "false_verified": [],
}


@pytest.mark.django_db
def test_other_methods_and_attacks_are_shown(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "hashing.json").write_text(json.dumps(HASHING))
    text = shown(settings, tmp_path, None)
    for words in (
        "1,234,567 pairs",
        "NeuralHash",
        "98.3 (91.1-99.7)",
        "0.710 of the bits",
        "a share of 0.25 of the pictures",
        "0 of those pairs",
    ):
        assert words in text
    assert "No figures yet" not in text


@pytest.mark.django_db
def test_the_curve_is_a_picture_where_there_is_one() -> None:
    response = Client().get(reverse("pages:accuracy-figure", args=["hashing_roc"]))
    assert response.status_code == 200
    assert response["Content-Type"] == "image/png"
    assert b"".join(response.streaming_content).startswith(b"\x89PNG")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["hashing", "unknown", "deephash_roc"])
def test_no_other_file_of_the_results_is_sent(name: str) -> None:
    assert Client().get(f"/accuracy/{name}.png").status_code == 404


SIGNATURE = {
    "machine": "a fourth machine",
    "algorithm": "signature-v1",
    "pictures": 120,
    "lowest": 38.6,
    "figures": {"robust_psnr_db": 43.71, "clean_pictures": 500, "clean_words": 100500, "false_accepts": 0},
    "tables": {
        "edits": {"head": ["edit", "ours, 64 bits"], "rows": [["JPEG 50", "95.8 (90.0-98.4)"]]},
        "sources": {"head": ["edit", "GPT-4o"], "rows": [["blur 2", "100.0 (92.9-100.0)"]]},
        "removal": {"head": ["attack", "read"], "rows": [["restored by a network given pairs", "97.5"]]},
        "forgery": {"head": ["forgery", "per cent"], "rows": [["copied to another picture", "0.0"]]},
        "presets": {"head": ["preset", "read"], "rows": []},
    },
}


@pytest.mark.django_db
def test_signatures_are_shown_with_what_they_withstand(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    stored = tmp_path / "benchmarks" / "results" / "signature.json"
    stored.write_text(json.dumps(SIGNATURE))
    text = shown(settings, tmp_path, None)
    for words in ("43.7 dB", "95.8 (90.0-98.4)", "92.9-100.0", "restored", "100,500 words", "a pointer, not a proof"):
        assert words in text
    stored.write_text(json.dumps({**SIGNATURE, "algorithm": "signature-v0"}))
    assert "43.7 dB" not in shown(settings, tmp_path, None)


DETECTOR = {
    "machine": "a third machine",
    "version": DETECTOR_VERSION,
    "figures": {"pictures": 1544, "ece": 0.0712, "auc": 0.8311, "aligned_auc": 0.5522, "leak_auc": 0.6133},
    "history": "Every picture was squeezed.",
    "content": "Content differs.",
    "goals": [{"goal": "AUC at least .95", "measured": "0.831 (0.8-0.9)", "reached": False}],
    "rows": [
        {
            "generator": "gpt4o",
            "pictures": 169,
            "auc": 0.8123,
            "low": 0.77,
            "high": 0.85,
            "fixed": 0.7,
            "test": {"auc": 0.7944, "low": 0.7, "high": 0.88},
        }
    ],
    "bands": [
        {"line": "gpt4o", "source": "wesnoth", "likely_ai": "1.0", "cannot_tell": "90.0", "likely_not_ai": "9.0"}
    ],
    "native_bands": [
        {"line": "all", "source": "wesnoth", "likely_ai": "3.3", "cannot_tell": "66.7", "likely_not_ai": "30.0"}
    ],
    "reliability": [{"said": 0.15, "was": 0.2, "share": 0.4}],
}


@pytest.mark.django_db
def test_what_is_told_of_ai_is_shown_with_its_limits(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "detector.json").write_text(json.dumps(DETECTOR))
    text = shown(settings, tmp_path, None)
    for words in (
        "Made by AI?",
        "0.831 on generators that were left out; 0.552 where the content is the same",
        "Every picture was squeezed. Content differs.",
        "0.831 (0.8-0.9)",
        "0.812 (0.770–0.850)",
        "0.794 (0.700–0.880)",
        "Battle for Wesnoth",
        "without GPT-4o",
        "90.0",
        "66.7",
        "0.613",
        "0.071",
        "a third",
    ):
        assert words in text
    assert "No figures yet" not in text
    other = {**DETECTOR, "version": "ai-detector-v0"}
    (tmp_path / "benchmarks" / "results" / "detector.json").write_text(json.dumps(other))
    assert "No figures yet" in shown(settings, tmp_path, None), "figures of another detector say nothing of this one"
