"""One shape for every refusal under /api/, also where no view of the API answers."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import UnreadablePostError
from django.test import Client
from pytest_django import Settings
from rest_framework.exceptions import ErrorDetail, NotAuthenticated, Throttled, ValidationError

from tests.webapp.api import contract
from tests.webapp.api.conftest import Partner, picture
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.api import checks, problems
from webapp.api import me as me_module
from webapp.asgi import application
from webapp.bodies import body_limit
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Fail unless this is that problem; return it."""
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert contract.errors_of({"$ref": "#/components/schemas/Problem"}, problem) == []
    assert problem["detail"]
    return problem


def test_it_works(partner: Partner) -> None:
    problem = assert_problem(partner.get("/checks/none"), 404, "not_found")

    page = partner.client.get(problem["type"])
    assert page.status_code == 200
    assert 'id="not_found"' in page.content.decode()


@pytest.mark.parametrize("path", ["v1", "v1/", "v1/nothing", "v2/checks", "v1/checks/a/b/c", "v1/%00", "nothing"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch", "options"])
def test_unknown_addresses(db: None, method: str, path: str) -> None:
    assert_problem(getattr(Client(), method)(f"/api/{path}"), 404, "not_found")


@pytest.mark.parametrize("path", ["", "docs/", "schema/"])
def test_pages_of_the_api_are_only_read(db: None, path: str) -> None:
    response = Client().post(f"/api/{path}")

    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize("path", ["checks/", "me/", "catalogues/", "checks/6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11/"])
def test_a_slash_too_many_is_said_and_never_redirected(partner: Partner, method: str, path: str) -> None:
    response = getattr(partner.client, method)(f"/api/v1/{path}")

    assert "without a slash" in assert_problem(response, 404, "not_found")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/checks", "GET, POST, HEAD"),
        ("DELETE", "/checks", "GET, POST, HEAD"),
        ("PATCH", "/items/6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11", "GET, DELETE, HEAD"),
        ("POST", "/me", "GET, HEAD"),
        ("OPTIONS", "/checks", "GET, POST, HEAD"),
        ("GET", "/checks/6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11/cancel", "POST"),
        ("TRACE", "/me", "GET, HEAD"),
    ],
)
def test_methods_that_an_address_does_not_have(partner: Partner, method: str, path: str, allowed: str) -> None:
    response = partner.call(method, path)

    assert_problem(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) == set(allowed.split(", "))


def test_a_method_that_nobody_knows(partner: Partner) -> None:
    assert_problem(partner.client.generic("BREW", "/api/v1/me"), 405, "method_not_allowed")


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml;q=0.9"])
def test_only_json_is_spoken(partner: Partner, accept: str) -> None:
    assert_problem(partner.get("/me", Accept=accept), 406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/*", "text/html, */*;q=0.1"])
def test_whoever_takes_json_gets_it(partner: Partner, accept: str) -> None:
    assert partner.get("/me", Accept=accept).status_code == 200


def test_no_query_changes_the_format(partner: Partner) -> None:
    assert partner.get("/me?format=xml").status_code == 200


def test_a_fault_of_ours_is_logged_and_told_without_its_words(
    partner: Partner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_organisation: object) -> None:
        raise OperationalError("the password of the database is swordfish")

    monkeypatch.setattr(me_module, "storage_used", fail)
    monkeypatch.setattr(logging.getLogger("webapp"), "propagate", True)

    response = partner.get("/me", X_Request_ID="my-request-1")

    problem = assert_problem(response, 500, "internal")
    assert "swordfish" not in json.dumps(problem)
    assert "X-Request-ID" in problem["detail"]
    assert response["X-Request-ID"] == "my-request-1"
    assert any("swordfish" in (record.exc_text or "") for record in caplog.records)


def test_a_fault_outside_a_view_is_a_problem_too(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("swordfish")

    monkeypatch.setattr("webapp.api.base.ApiView.initialize_request", fail)

    response = Client(raise_request_exception=False).get("/api/v1/me")

    problem = assert_problem(response, 500, "internal")
    assert "swordfish" not in json.dumps(problem)


def test_a_host_that_is_not_ours(partner: Partner) -> None:
    assert_problem(partner.client.get("/api/v1/me", headers={"host": "evil.example"}), 400, "invalid")


def test_pages_elsewhere_stay_pages(db: None) -> None:
    response = Client().get("/nothing-here/")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_problems_keep_the_headers_of_safety(partner: Partner) -> None:
    for path in ("/api/v1/nothing", "/api/v1/checks/none"):
        response = partner.client.get(path)
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert response["X-Request-ID"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ProductError(ErrorCode.GONE, "Over.", status=410), 410, "gone"),
        (PermissionDenied(), 403, "forbidden"),
        (RequestDataTooBig(), 413, "file_too_large"),
        (SuspiciousOperation("odd"), 400, "invalid"),
        (NotAuthenticated(), 401, "not_authenticated"),
        (Throttled(), 429, "rate_limited"),
        (RuntimeError("swordfish"), 500, "internal"),
    ],
)
def test_every_exception_is_some_problem(error: Exception, status: int, code: str) -> None:
    refusal = problems.as_refusal(error)

    assert (refusal.status, refusal.code) == (status, code)
    assert "swordfish" not in str(refusal.message)


def test_nested_errors_become_fields() -> None:
    detail = {
        "name": [ErrorDetail("Too long.")],
        "rows": [{}, {"title": [ErrorDetail("Missing.")], "more": {"deep": [ErrorDetail("Odd.")]}}],
    }

    refusal = problems.as_refusal(ValidationError(detail))

    assert refusal.fields == {"name": ["Too long."], "rows.1.title": ["Missing."], "rows.1.more.deep": ["Odd."]}
    assert problems.as_refusal(ValidationError("No.")).fields == {"body": ["No."]}


def test_a_client_that_goes_away_breaks_nothing(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**_: Any) -> None:
        raise UnreadablePostError("the client went away")

    monkeypatch.setattr(checks, "check_submit", gone)

    assert_problem(partner.post("/checks", {"file": picture()}), 500, "internal")


def test_an_import_may_be_as_large_as_the_key_is_told(partner: Partner) -> None:
    limits = partner.get("/me").json()["limits"]

    assert body_limit("/api/v1/catalogues/x/items") > limits["import_max_bytes"]
    assert body_limit("/api/v1/checks") > limits["file_max_bytes"]


# --- Over ASGI, where bodies are cut off before Django sees them ---


async def ask(path: str, data: bytes, *, declared: bool, **more: str) -> tuple[int, dict[str, str], bytes]:
    """Send a body in two pieces; return status, headers and body of the answer."""
    named = {"host": "localhost", "content-type": "multipart/form-data; boundary=x", **more}
    if declared:
        named["content-length"] = str(len(data))
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": data[:1000], "more_body": True})
    await communicator.send_input({"type": "http.request", "body": data[1000:], "more_body": False})
    start = await communicator.receive_output(20)
    body = b""
    more = True
    while more:
        message = await communicator.receive_output(20)
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await communicator.wait(20)
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}, body


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/api/v1/checks", "/api/v1/nothing"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
def test_a_body_that_is_too_large_is_a_problem(
    settings: Settings, path: str, declared: bool, accept: str
) -> None:
    settings.UPLOAD_MAX_BYTES = 1024
    size = 2 * 1024**2 if path.endswith("checks") else 5 * 1024**2

    status, headers, body = asyncio.run(ask(path, bytes(size), declared=declared, accept=accept))

    assert (status, json.loads(body)["code"]) == (413, "file_too_large")
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.django_db(transaction=True)
def test_a_body_may_come_in_chunks_without_a_length(committed_secret: str, declared: bool) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'

    status, headers, body = asyncio.run(
        ask(
            "/api/v1/checks",
            head + jpeg(1) + b"\r\n--x--\r\n",
            declared=declared,
            authorization=f"Bearer {committed_secret}",
        )
    )

    assert status == 202, body
    assert json.loads(body)["file"]["sha256"] == sha256_of(jpeg(1))
    assert headers["location"] == json.loads(body)["links"]["self"]


@pytest.mark.django_db(transaction=True)
def test_no_body_and_no_length_is_no_file(committed_secret: str) -> None:
    status, _headers, body = asyncio.run(
        ask("/api/v1/checks", b"", declared=False, authorization=f"Bearer {committed_secret}")
    )

    assert (status, json.loads(body)["code"]) == (400, "file_missing")
