"""What a person or a program gets when something cannot be done."""

from __future__ import annotations

from typing import NoReturn

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse

from tests.webapp.conftest import Cast
from webapp.errors import ErrorCode, ProductError
from webapp.pages.middleware import ProductErrorMiddleware

pytestmark = pytest.mark.django_db


def failing_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Client:
    """Return a client for which the dashboard's first query fails so, and no exception is raised in the test."""

    def fail(*_args: object, **_options: object) -> NoReturn:
        raise error

    monkeypatch.setattr("webapp.pages.views.places_of", fail)
    client = Client(raise_request_exception=False)
    return client


def logged_in(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_it_works() -> None:
    response = Client().get("/there/is/nothing/")
    assert response.status_code == 404
    text = response.content.decode()
    assert "There is nothing here" in text
    assert "Skip to the content" in text


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (PermissionDenied("an inner reason"), 403, "This is not yours to do"),
        (SuspiciousOperation("odd"), 400, "We could not read that request"),
        (RuntimeError("the secret is hunter2"), 500, "Something went wrong on our side"),
    ],
)
def test_djangos_own_refusals_look_like_ours(
    monkeypatch: pytest.MonkeyPatch, cast: Cast, error: Exception, status: int, words: str
) -> None:
    response = logged_in(failing_with(monkeypatch, error), cast).get(reverse("pages:dashboard"))
    assert response.status_code == status
    text = response.content.decode()
    assert words in text
    assert str(error) not in text


def test_the_page_of_last_resort_needs_nothing() -> None:
    text = render_to_string("500.html")
    assert "<h1>" in text
    assert "/static/css/site.css" in text


def test_a_refusal_is_a_page_for_a_person(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> None:
    refusal = ProductError(ErrorCode.RATE_LIMITED, "Too many <b>at once</b>.", status=429, retry_after=40)
    response = logged_in(failing_with(monkeypatch, refusal), cast).get(
        reverse("pages:dashboard"), headers={"Accept": "text/html"}
    )
    assert response.status_code == 429
    assert response["Retry-After"] == "40"
    text = response.content.decode()
    assert "Too many &lt;b&gt;at once&lt;/b&gt;." in text
    assert "Try again in 40 seconds." in text
    assert f"{reverse('pages:errors')}#rate_limited" in text


def test_a_refusal_is_a_problem_document_for_a_program(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> None:
    refusal = ProductError(ErrorCode.CONFLICT, "Read it again first.", status=409, fields={"name": ["Taken."]})
    response = logged_in(failing_with(monkeypatch, refusal), cast).get(
        reverse("pages:dashboard"), headers={"Accept": "application/json"}
    )
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": f"{reverse('pages:errors')}#conflict",
        "title": "Conflict",
        "status": 409,
        "code": "conflict",
        "detail": "Read it again first.",
        "fields": {"name": ["Taken."]},
    }


def test_errors_that_are_not_ours_are_left_to_django(rf: RequestFactory) -> None:
    def answer(_request: HttpRequest) -> NoReturn:
        raise AssertionError

    assert ProductErrorMiddleware(answer).process_exception(rf.get("/"), ValueError("other")) is None


def test_a_form_without_its_token_is_explained() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(reverse("account_login"), {"login": "a@b.example", "password": "x"})
    assert response.status_code == 403
    assert "Please send that again" in response.content.decode()
