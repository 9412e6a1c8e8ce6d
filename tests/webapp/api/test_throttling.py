"""How often: by key, by address without one, and pictures by the hour."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.webapp.api.conftest import MakePartner, Partner, picture, upload
from tests.webapp.conftest import Cast
from webapp.checks.models import Check


@pytest.fixture(autouse=True)
def steady_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a window from ending within a test."""
    monkeypatch.setattr("webapp.ratelimit.time.time", lambda: 1_800_000_010.0)


def test_it_works(partner: Partner, settings: Settings) -> None:
    settings.REQUESTS_PER_MINUTE_KEY = 3

    answers = [partner.get("/me") for _time in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer["RateLimit-Limit"] for answer in answers} == {"3"}
    refused = answers[3]
    assert refused.json()["code"] == "rate_limited"
    assert refused["Retry-After"] == refused["RateLimit-Reset"]
    assert 0 < int(refused["Retry-After"]) <= 61


def test_the_next_window_begins_anew(partner: Partner, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REQUESTS_PER_MINUTE_KEY = 1
    assert partner.get("/me").status_code == 200
    wait = int(partner.get("/me")["Retry-After"])

    monkeypatch.setattr("webapp.ratelimit.time.time", lambda: 1_800_000_010.0 + wait)

    assert partner.get("/me").status_code == 200


def test_refusals_count_and_tell_what_is_left_too(partner: Partner, make_partner: MakePartner) -> None:
    for number, path in enumerate(("/checks/none", "/checks?page_size=0", "/me"), start=1):
        assert partner.get(path)["RateLimit-Remaining"] == str(600 - number)
    reader = make_partner(scopes=["check:read"])
    assert reader.get("/catalogues")["RateLimit-Remaining"] == "599"


def test_keys_are_counted_apart(partner: Partner, make_partner: MakePartner, settings: Settings) -> None:
    settings.REQUESTS_PER_MINUTE_KEY = 1
    assert partner.get("/me").status_code == 200
    assert partner.get("/me").status_code == 429

    assert make_partner().get("/me").status_code == 200


def test_a_key_past_its_limit_writes_nothing(partner: Partner, settings: Settings) -> None:
    settings.REQUESTS_PER_MINUTE_KEY = 1
    partner.get("/me")

    assert partner.post("/checks", {"file": picture()}).status_code == 429
    assert not Check.objects.exists()


def test_whoever_tries_keys_is_stopped_and_holders_of_good_ones_are_not(
    partner: Partner, cast: Cast, settings: Settings
) -> None:
    settings.REQUESTS_PER_MINUTE_NO_KEY = 2
    guesser, nobody = Partner("pvk_" + "x" * 43), Partner(None)

    assert [guesser.get("/me").status_code for _time in range(3)] == [401, 401, 429]
    assert nobody.get("/me").status_code == 429
    assert guesser.get("/me")["RateLimit-Limit"] == "2"
    assert partner.get("/me").status_code == 200
    elsewhere = Partner(None)
    elsewhere.client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    assert elsewhere.get("/me").status_code == 401


def test_pictures_have_a_limit_of_their_own(partner: Partner, settings: Settings) -> None:
    settings.CHECKS_PER_HOUR_KEY = 2

    answers = [partner.post("/checks", {"file": picture(seed)}) for seed in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert [answer["RateLimit-Limit"] for answer in answers] == ["2", "2", "2"]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert int(answers[2]["Retry-After"]) > 60
    assert Check.objects.count() == 2
    assert partner.get("/checks").status_code == 200


def test_a_replayed_check_uses_up_nothing(partner: Partner, settings: Settings) -> None:
    settings.CHECKS_PER_HOUR_KEY = 1

    first, second = (partner.post("/checks", {"file": picture()}, Idempotency_Key="a") for _time in range(2))

    assert (first.status_code, second.status_code) == (202, 202)


def test_a_file_that_is_no_picture_counts_too(partner: Partner, settings: Settings) -> None:
    settings.CHECKS_PER_HOUR_KEY = 1
    assert partner.post("/checks", {"file": upload(b"nothing")}).status_code == 415

    assert partner.post("/checks", {"file": picture()}).status_code == 429
