"""Signing up and logging in, as allauth does it with our settings."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.webapp.conftest import PASSWORD, Cast
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db


def test_it_works() -> None:
    client = Client()
    form = {"email": "Someone@New.example", "password1": PASSWORD, "password2": PASSWORD}
    response = client.post(reverse("account_signup"), form)
    assert response.status_code == 302
    assert "http" not in mail.outbox[0].body or "code" in mail.outbox[0].body
    code = re.search(r"^[A-Z0-9]{3,}-?[A-Z0-9]{3,}$", mail.outbox[0].body, re.M)
    assert code, mail.outbox[0].body
    assert code.group() not in response["Location"]
    verified = client.post(response["Location"], {"code": code.group()})
    assert verified.status_code == 302
    user = User.objects.get(email="someone@new.example")
    assert user.emailaddress_set.get().verified
    assert client.get(reverse("pages:dashboard")).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"email": "not an address", "password1": PASSWORD, "password2": PASSWORD},
        {"email": "a@b.example", "password1": "12345678", "password2": "12345678"},
        {"email": "a@b.example", "password1": PASSWORD, "password2": "other"},
        {},
    ],
)
def test_bad_input_is_refused(form: dict[str, str]) -> None:
    response = Client().post(reverse("account_signup"), form)
    assert response.status_code == 200
    assert response.context["form"].errors
    assert not User.objects.exists()


def test_signing_up_with_a_known_address_does_not_tell(cast: Cast) -> None:
    form = {"email": cast.owner.email, "password1": PASSWORD, "password2": PASSWORD}
    response = Client().post(reverse("account_signup"), form)
    assert response.status_code == 302
    assert User.objects.filter(email=cast.owner.email).count() == 1


def test_logging_in(cast: Cast) -> None:
    client = Client()
    wrong = client.post(reverse("account_login"), {"login": cast.owner.email, "password": "wrong"})
    assert wrong.status_code == 200
    assert wrong.context["form"].errors
    right = client.post(reverse("account_login"), {"login": cast.owner.email, "password": PASSWORD})
    assert right["Location"] == reverse("pages:dashboard")


def test_guessing_passwords_is_slowed_down(cast: Cast) -> None:
    client = Client()
    for _attempt in range(12):
        client.post(reverse("account_login"), {"login": cast.owner.email, "password": "wrong"})
    response = client.post(reverse("account_login"), {"login": cast.owner.email, "password": PASSWORD})
    assert response.status_code != 302
