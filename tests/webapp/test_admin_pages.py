"""Every page of the administration, for everybody of the cast."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from tests.webapp.conftest import Cast
from tests.webapp.reviews.conftest import checked, work  # noqa: F401 - a fixture
from webapp.accounts.models import AuditEntry
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model.__module__.startswith("webapp.")]


def address(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_it_works(cast: Cast, work: Work) -> None:  # noqa: F811
    checked()
    page = cast.client("superuser").get(reverse("admin:index"))
    assert page.status_code == 200
    assert b"Matches to review" in page.content
    assert {str(label): count for label, count in page.context["counts"]}["Matches to review"] == 1


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_lists_and_rows_open(cast: Cast, work: Work, model: Any, django_assert_max_num_queries: Any) -> None:  # noqa: F811
    checked()
    client = cast.client("superuser")
    with django_assert_max_num_queries(25):
        assert client.get(address(model, "changelist")).status_code == 200
    assert client.get(address(model, "changelist"), {"q": "coffee"}).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        assert client.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize(("who", "status"), [("anonymous", 302), ("owner", 403), ("outsider", 403)])
def test_nobody_else_enters(cast: Cast, who: str, status: int) -> None:
    client = cast.client(who)
    assert client.get(reverse("admin:index"), follow=False).status_code == 302
    login = client.get(reverse("admin:login"))
    assert login.status_code == status
    if who == "anonymous":
        assert login["Location"].startswith(reverse("account_login"))


def test_a_reviewer_sees_matches_and_no_people(cast: Cast) -> None:
    cast.reviewer.groups.add(Group.objects.get(name="Reviewers"))
    client = cast.client("reviewer")
    seen = {model._meta.label for model in OURS if client.get(address(model, "changelist")).status_code == 200}
    assert {"reviews.Match", "checks.Check", "registry.Work"} <= seen
    assert not seen & {"accounts.User", "accounts.ApiKey", "accounts.AuditEntry", "jobs.Job"}


@pytest.mark.parametrize("model", [model for model in OURS if model._meta.label != "accounts.User"], ids=str)
def test_records_are_not_deleted_here(cast: Cast, model: Any) -> None:
    row = model._default_manager.first()
    if row is not None:
        answer = cast.client("superuser").post(address(model, "delete", row.pk), {"post": "yes"})
        assert answer.status_code == 403
        assert model._default_manager.filter(pk=row.pk).exists()


def test_a_key_is_revoked_by_an_action_and_its_digest_never_shown(cast: Cast) -> None:
    client = cast.client("superuser")
    model = type(cast.partner_key)
    assert cast.partner_key.digest.encode() not in client.get(address(model, "change", cast.partner_key.pk)).content
    client.post(address(model, "changelist"), {"action": "revoke", "_selected_action": [cast.partner_key.pk]})
    cast.partner_key.refresh_from_db()
    assert cast.partner_key.revoked_at is not None
    assert AuditEntry.objects.filter(verb="api_key.revoked", actor=cast.superuser).exists()


def test_the_policy_is_wider_here_only_for_compiled_expressions(cast: Cast) -> None:
    policy = cast.client("superuser").get(reverse("admin:index"))["Content-Security-Policy"]
    assert "'unsafe-eval'" in policy
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in Client().get(reverse("pages:home"))["Content-Security-Policy"]
