"""Who is let in: every operation of the document, asked without a key, with a bad one, and with too little scope."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.webapp.api import contract
from tests.webapp.api.conftest import MakePartner, Partner
from tests.webapp.conftest import Cast
from webapp.accounts.models import ApiKey, Scope
from webapp.accounts.services import api_key_revoke
from webapp.api import urls
from webapp.api.base import ApiView

OPERATIONS = [(method, template) for method, template, _operation in contract.operations()]


def address_of(template: str) -> str:
    """Return an address of an operation, with ids of nothing."""
    return re.sub(r"{\w+}", str(uuid.uuid4()), template)


def test_it_works(partner: Partner, cast: Cast) -> None:
    body = partner.get("/me").json()

    assert body["name"] == "partner"
    assert body["organisation"] == {"id": str(cast.organisation.pk), "name": "The Archive"}
    assert set(body["scopes"]) == set(Scope.values)
    assert cast.partner_secret.startswith(body["prefix"])
    assert body["limits"]["requests_per_minute"] == 600
    assert body["limits"]["storage_used_bytes"] == 0
    assert cast.partner_secret not in str(body)


def test_the_document_has_every_address(db: None) -> None:
    templates = {template for _method, template in OPERATIONS}
    routes = {"/api/v1/" + re.sub(r"<(?:id|str):(\w+)>", r"{\1}", str(each.pattern)) for each in urls.v1}

    assert templates == routes


def test_every_view_names_a_scope_for_each_of_its_methods() -> None:
    for each in urls.v1:
        view: type[ApiView] = each.callback.view_class  # type: ignore[union-attr]
        methods = {name for name in ("GET", "POST", "PUT", "PATCH", "DELETE") if hasattr(view, name.lower())}
        assert set(view.scopes) == methods, view


@pytest.mark.parametrize(("method", "template"), OPERATIONS)
def test_without_a_key_nothing_is_told(cast: Cast, method: str, template: str) -> None:
    refused = Partner(None).call(method, address_of(template))

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert refused["WWW-Authenticate"] == 'Bearer realm="Provenance"'


@pytest.mark.parametrize(("method", "template"), OPERATIONS)
def test_a_key_without_the_scope_is_refused_before_anything_is_looked_up(
    make_partner: MakePartner, method: str, template: str
) -> None:
    operation = contract.find(method, template)
    assert operation is not None
    (wanted,) = operation["security"][0]["apiKey"] or [None]
    others = make_partner(scopes=[scope for scope in Scope.values if scope != wanted])

    answer = others.call(method, address_of(template))

    if wanted is None:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert f'scope="{wanted}"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "template"), [each for each in OPERATIONS if "{" in each[1]])
def test_an_unknown_id_is_not_found(partner: Partner, method: str, template: str) -> None:
    answer = partner.call(method, address_of(template))

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Basic dXNlcjpwYXNz",
        "Token abc",
        "",
        "Bearer\tabc",
        "pvk_abc",
    ],
)
def test_a_malformed_header_is_refused(cast: Cast, header: str) -> None:
    refused = Partner(None).get("/me", Authorization=header)

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert "Authorization: Bearer" in refused.json()["detail"]


@pytest.mark.parametrize("secret", ["pvk_" + "x" * 43, "x", "é" * 10, "x" * 8000, "' OR 1=1 --".replace(" ", "")])
def test_an_unknown_key_is_refused(cast: Cast, secret: str) -> None:
    refused = Partner(None).get("/me", Authorization=f"Bearer {secret}")

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert 'error="invalid_token"' in refused["WWW-Authenticate"]


def test_a_part_of_a_key_is_an_unknown_key(cast: Cast) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1), revoked_at=timezone.now())

    for part in (cast.partner_secret[:-1], cast.partner_key.prefix, cast.partner_key.digest):
        assert Partner(part).get("/me").json()["code"] == "not_authenticated"


def test_the_scheme_is_known_in_any_case(cast: Cast) -> None:
    assert Partner(None).get("/me", Authorization=f"bearer {cast.partner_secret}").status_code == 200


def test_an_expired_key_is_told_so(partner: Partner, cast: Cast) -> None:
    ApiKey.objects.update(expires_at=timezone.now())

    refused = partner.get("/me")

    assert (refused.status_code, refused.json()["code"]) == (401, "key_expired")
    assert 'error="invalid_token"' in refused["WWW-Authenticate"]


def test_a_revoked_key_is_told_so_even_when_it_has_expired_too(partner: Partner, cast: Cast) -> None:
    assert partner.get("/me").status_code == 200
    api_key_revoke(api_key=cast.partner_key, actor=cast.owner)
    ApiKey.objects.update(expires_at=timezone.now())

    refused = partner.get("/me")

    assert (refused.status_code, refused.json()["code"]) == (401, "key_revoked")


def test_a_session_is_no_key(cast: Cast) -> None:
    browser = cast.client("owner")

    assert browser.get("/api/v1/me").status_code == 401


def test_a_key_in_the_query_is_no_key(cast: Cast) -> None:
    assert Partner(None).get(f"/me?key={cast.partner_secret}&access_token={cast.partner_secret}").status_code == 401


def test_the_last_use_is_noted_at_most_once_a_minute(
    partner: Partner, cast: Cast, django_assert_num_queries: Any
) -> None:
    partner.get("/me")
    first = ApiKey.objects.get().last_used_at
    assert first is not None

    partner.get("/me")

    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    partner.get("/me")
    assert ApiKey.objects.get().last_used_at > first


def test_a_refused_key_is_not_noted_as_used(partner: Partner) -> None:
    ApiKey.objects.update(expires_at=timezone.now())

    partner.get("/me")

    assert ApiKey.objects.get().last_used_at is None


def test_no_answer_sets_a_cookie(partner: Partner) -> None:
    assert not partner.get("/me").cookies
