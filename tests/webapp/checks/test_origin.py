"""Whether AI made it: evidence with figures and places, no say in the verdict, seen by whoever may see the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from provenance.detection.detector import DETECTOR, MODEL, Band, Crop, Detection, Detector
from provenance.detection.views import Box
from provenance.models import store
from provenance.models.errors import ModelMissing
from tests.webapp.checks.conftest import Submit, flat, png, sample
from tests.webapp.conftest import Cast
from webapp.checks.models import Check, Evidence, Outcome, Verdict
from webapp.checks.origin import NOT_AT_HAND, paint_heat
from webapp.checks.receipt import receipt
from webapp.checks.services import check_delete

pytestmark = pytest.mark.django_db

CROPS = [Crop(Box(0, 0, 1, 1), 4.0), Crop(Box(0, 0, 0.5, 0.5), 5.0)]


def origin(check: Check) -> Evidence:
    return check.evidence.get(kind="origin")


def test_it_works(check_now: Submit, client: Client) -> None:
    check = check_now(sample("rocket"))
    evidence = origin(check)
    assert evidence.outcome == Outcome.NEUTRAL, "it says nothing of registration"
    assert evidence.version == DETECTOR.version == check.algorithms["made by AI"]
    data = evidence.data
    assert data["band"] in set(Band)
    assert (data["probability"] is None) == (data["band"] == Band.CANNOT_TELL)
    assert data["margin_thresholds"]["likely_not_ai"] < data["margin_thresholds"]["likely_ai"]
    assert len(data["crops"]) > 4
    assert all(0 <= crop["left"] <= 1 and 0 < crop["width"] <= 1 for crop in data["crops"])
    (stored,) = [item for item in receipt(check)["evidence"] if item["kind"] == "origin"]
    assert stored["figures"] == data

    page = client.get(reverse("checks:detail", args=[check.pk])).content.decode()
    card = page[page.index("Made by AI?") :]
    assert card.index("never alone a reason to accuse anybody") < card.index("<details>"), "not folded away"
    assert "made" not in data["asked_error"], "nothing is promised of generators not seen"
    assert set(data["measured"]) == set(data["generators"])
    found = data["measured"]["gpt4o"]["likely_not_ai"]
    assert 0 < found["low"] < found["share"] < found["high"] < 1
    shown = f"{100 * found['share']:.1f} % ({100 * found['low']:.1f}–{100 * found['high']:.1f}) wrongly"
    assert shown in card
    assert "Tested on" not in card
    assert "tested by leaving each out" in card
    crop = data["crops"][0]
    assert "probability" not in crop, "probabilities are calibrated on whole pictures only"
    assert data["margin"] == pytest.approx(np.mean([crop["margin"] for crop in data["crops"]]), abs=1e-3)


def test_the_heat_is_seen_by_whoever_sees_the_picture(
    check_now: Submit, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DETECTOR, "detect", lambda pixels: Detection(Band.LIKELY_AI, 0.99, 4.5, CROPS))
    check = check_now(sample("rocket"), owner=cast.owner, organisation=cast.organisation)
    heat, page = (reverse(f"checks:{name}", args=[check.pk]) for name in ("heat", "detail"))
    for who in ("owner", "colleague", "viewer", "reviewer", "outsider", "anonymous"):
        shown = cast.client(who).get(heat)
        may = who not in ("outsider", "anonymous")
        assert (shown.status_code, shown["Content-Type"] == "image/jpeg") == ((200, True) if may else (404, False)), who
        assert (heat in cast.client(who).get(page).content.decode()) == may, who
    check_delete(check=check, actor=cast.owner)
    assert cast.client("owner").get(heat).status_code == 404


@pytest.mark.parametrize("band", list(Band))
def test_no_answer_changes_the_verdict(
    check_now: Submit, cast: Cast, monkeypatch: pytest.MonkeyPatch, band: Band
) -> None:
    probability = None if band == Band.CANNOT_TELL else 0.999999
    monkeypatch.setattr(DETECTOR, "detect", lambda pixels: Detection(band, probability, 4.5, CROPS))
    check = check_now(sample("rocket"))
    assert check.verdict == Verdict.NOT_FOUND
    evidence = origin(check)
    assert (evidence.outcome, evidence.data["band"]) == (Outcome.NEUTRAL, band)
    page = cast.client("owner").get(reverse("checks:detail", args=[check.pk])).content.decode()
    card = page[page.index("Made by AI?") :]
    assert "Margin, which is no chance" in card
    if band == Band.CANNOT_TELL:
        assert evidence.data["probability"] is None, "a figure would be read as an answer"
        assert "Probability" not in card
    else:
        assert evidence.data["probability"] <= 0.9999, "nothing is certain"
        assert "Probability of AI, as calibrated" in card
    heat = cast.client("owner").get(reverse("checks:heat", args=[check.pk]))
    assert heat.status_code == (200 if band == Band.LIKELY_AI else 404), "no map that accuses without an answer"
    if band == Band.LIKELY_NOT_AI:
        assert "Another generator may have made it" in evidence.summary
    if band == Band.LIKELY_AI:
        assert "no ground to accuse" in evidence.summary


def test_a_small_picture_is_not_judged(check_now: Submit, client: Client, cast: Cast) -> None:
    check = check_now(flat())
    assert origin(check).data == {"band": "cannot_tell", "probability": None, "reason": "small"}
    client.force_login(cast.owner)
    assert "too small to tell" in client.get(reverse("checks:detail", args=[check.pk])).content.decode()


def test_a_long_narrow_picture_is_not_judged_and_the_check_goes_on(check_now: Submit) -> None:
    ribbon = np.tile(np.random.default_rng(0).integers(0, 256, (100, 500, 3), dtype=np.uint8), (1, 27, 1))
    check = check_now(png(ribbon))
    assert check.verdict == Verdict.NOT_FOUND
    assert origin(check).data["reason"] == "long"
    assert "too long and narrow" in origin(check).summary


@pytest.mark.parametrize("file", [sample("rocket"), flat()], ids=["picture", "nothing to judge"])
def test_without_the_model_the_check_goes_on_and_tells_nothing_of_the_machine(
    check_now: Submit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, file: bytes
) -> None:
    path = store.path

    def absent(name: str) -> Path:
        if name == MODEL:
            raise ModelMissing(f"/srv/secret/{name} is not there.", name=name, command=None)
        return path(name)

    monkeypatch.setattr(store, "path", absent)
    monkeypatch.setattr("webapp.checks.origin.DETECTOR", Detector())
    check = check_now(file)
    evidence = origin(check)
    assert evidence.data["reason"] == evidence.version == NOT_AT_HAND
    assert "is not at hand" in evidence.summary
    assert "/srv/secret" not in str(receipt(check))
    assert f"/srv/secret/{MODEL}" in caplog.text


def test_the_heat_is_in_colour_where_a_part_stands_out() -> None:
    pixels = np.full((90, 120, 3), 120, np.uint8)
    crops = [Crop(Box(0, 0, 0.4, 0.4), 3.0), Crop(Box(0.6, 0.6, 0.4, 0.4), -3.0)]
    painted = paint_heat(pixels, Detection(Band.LIKELY_AI, 0.9, 0.0, crops)).astype(int)
    assert painted[10, 10, 0] - painted[10, 10, 2] > 60
    assert np.ptp(painted[80, 110]) <= 1
    fainter = [Crop(crop.box, crop.margin / 30) for crop in crops]
    faint = paint_heat(pixels, Detection(Band.LIKELY_AI, 0.9, 0.0, fainter)).astype(int)
    assert 0 < faint[10, 10, 0] - faint[10, 10, 2] < 20, "a small difference has a faint colour"
