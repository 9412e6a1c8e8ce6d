"""The two addresses that a watchdog asks, and the id that ties a request's log lines together."""

from __future__ import annotations

import json
import logging
from typing import NoReturn

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from webapp.pages.logs import JsonFormatter, RequestIdFilter, request_id


def test_it_works() -> None:
    response = Client().get("/healthz")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.django_db
def test_ready_with_a_database() -> None:
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": "ok"})


@pytest.mark.django_db
def test_not_ready_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise OperationalError("password of the server")

    monkeypatch.setattr(connection, "cursor", refuse)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "unreachable"}


def test_alive_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise OperationalError

    monkeypatch.setattr(connection, "cursor", refuse)
    assert Client().get("/healthz").status_code == 200


def test_a_plain_request_id_is_kept() -> None:
    response = Client().get("/healthz", headers={"X-Request-ID": "order-42.retry_1"})
    assert response["X-Request-ID"] == "order-42.retry_1"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "two words here", "line\tbreak-inside", "<script>alert"])
def test_any_other_is_replaced(given: str) -> None:
    response = Client().get("/healthz", headers={"X-Request-ID": given})
    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


@pytest.mark.django_db
def test_each_request_has_its_own_even_when_it_fails() -> None:
    client = Client()
    ids = {client.get(address)["X-Request-ID"] for address in (reverse("pages:help"), "/nothing/", "/healthz")}
    assert len(ids) == 3
    assert request_id.get() == ""


def test_log_lines_carry_it() -> None:
    token = request_id.set("order-42")
    try:
        record = logging.LogRecord("webapp", logging.INFO, __file__, 1, "café %s", ("au lait",), None)
        RequestIdFilter().filter(record)
    finally:
        request_id.reset(token)
    line = json.loads(JsonFormatter().format(record))
    assert (line["request_id"], line["message"], line["level"]) == ("order-42", "café au lait", "INFO")
