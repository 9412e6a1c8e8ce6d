"""The pages of a person's account: allauth's views in our clothes, each doing its work."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from tests.webapp.conftest import PASSWORD, Cast

pytestmark = pytest.mark.django_db
ENTRANCE = ("account_login", "account_signup", "account_reset_password")
MANAGE = ("account_email", "account_change_password", "account_logout", "account_reauthenticate")


def last_code() -> str:
    """Return the code of the last message."""
    found = re.search(r"^[A-Z0-9]{3,}-?[A-Z0-9]{3,}$", str(mail.outbox[-1].body), re.M)
    assert found, mail.outbox[-1].body
    return found.group()


@pytest.mark.parametrize("name", [*ENTRANCE, *MANAGE])
def test_every_page_is_ours(cast: Cast, name: str) -> None:
    response = cast.client("anonymous" if name in ENTRANCE else "owner").get(reverse(name))
    assert response.status_code == 200
    text = response.content.decode()
    assert "Skip to the content" in text
    assert not re.search(r"Sign (In|Up|Out)|Menu:</strong>", text)
    assert text.count("<h1") == 1
    assert "<script>" not in text


def test_a_refused_form_says_what_to_mend(cast: Cast) -> None:
    text = Client().post(reverse("account_signup"), {"email": "nobody", "password1": "x", "password2": "y"}).content
    assert b"Please mend this first" in text
    assert b'href="#id_email"' in text
    assert b'aria-invalid="true"' in text


def test_a_forgotten_password_is_replaced_by_code(cast: Cast) -> None:
    client = Client()
    response = client.post(reverse("account_reset_password"), {"email": cast.owner.email}, follow=True)
    assert "Type the code that we sent" in response.content.decode()
    address = response.redirect_chain[-1][0]
    wrong = client.post(address, {"code": "WRONG1"})
    assert "Please mend this first" in wrong.content.decode()
    response = client.post(address, {"code": last_code()}, follow=True)
    assert "Choose a new password" in response.content.decode()
    new = "an even better battery staple"
    response = client.post(response.redirect_chain[-1][0], {"password1": new, "password2": new}, follow=True)
    assert response.status_code == 200
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(new)


def test_an_address_is_added_confirmed_made_main_and_the_old_one_removed(cast: Cast) -> None:
    client = Client()
    client.post(reverse("account_login"), {"login": cast.owner.email, "password": PASSWORD})
    address = reverse("account_email")
    response = client.post(address, {"email": "second@archive.example", "action_add": "1"}, follow=True)
    assert "Confirm your e-mail address" in response.content.decode()
    client.post(response.redirect_chain[-1][0], {"code": last_code()})
    assert EmailAddress.objects.get(email="second@archive.example").verified
    text = client.get(address).content.decode()
    assert 'name="action_primary"' in text
    client.post(address, {"email": "second@archive.example", "action_primary": "1"})
    cast.owner.refresh_from_db()
    assert cast.owner.email == "second@archive.example"
    client.post(address, {"email": "owner@archive.example", "action_remove": "1"})
    assert [row.email for row in EmailAddress.objects.filter(user=cast.owner)] == ["second@archive.example"]


def test_a_password_is_changed(cast: Cast) -> None:
    client = cast.client("owner")
    new = "an even better battery staple"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post(reverse("account_change_password"), form).status_code == 302
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(new)


def test_too_many_tries_get_a_page(cast: Cast) -> None:
    client = Client()
    for _try in range(40):
        response = client.post(reverse("account_reset_password"), {"email": cast.owner.email})
        if response.status_code == 429:
            break
    assert response.status_code == 429
    assert "too often" in response.content.decode()


def test_a_code_that_did_not_arrive_is_sent_again_or_elsewhere(cast: Cast) -> None:
    client = Client()
    form = {"email": "typo@new.example", "password1": PASSWORD, "password2": PASSWORD}
    address = client.post(reverse("account_signup"), form)["Location"]
    text = client.get(address).content.decode()
    assert "Send a new code" in text
    first = last_code()
    assert client.post(address, {"action": "resend"}).status_code == 429, "so soon after the first"
    cache.clear()
    client.post(address, {"action": "resend"})
    assert len(mail.outbox) == 2
    assert last_code() != first
    cache.clear()
    client.post(address, {"action": "change", "email": "right@new.example"})
    assert mail.outbox[-1].to == ["right@new.example"]
    assert client.post(address, {"code": last_code()}).status_code == 302
    assert EmailAddress.objects.get(email="right@new.example").verified
    assert not EmailAddress.objects.filter(email="typo@new.example").exists()
