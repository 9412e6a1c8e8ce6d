"""The pages that everybody sees: what they say, what they link to, and what they leave out."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.checks.models import Check
from webapp.errors import ErrorCode

pytestmark = pytest.mark.django_db

PUBLIC = ("pages:home", "pages:help", "pages:errors", "pages:accuracy", "checks:new", "account_login", "account_signup")


class Page(HTMLParser):
    """What a test asks of a page: addresses, ids, and anything that a strict policy would refuse."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self.links += [value for name in ("href", "src", "action") if (value := given.get(name))]
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(tag)


def page(address: str, client: Client | None = None) -> Page:
    """Return that page, which must be there."""
    response = (client or Client()).get(address)
    assert response.status_code == 200, address
    return Page(response.content.decode())


def test_it_works() -> None:
    response = Client().get(reverse("pages:home"))
    assert response.status_code == 200
    text = response.content.decode()
    assert f'action="{reverse("checks:new")}"' in text
    assert 'enctype="multipart/form-data"' in text
    assert 'type="file"' in text


def test_a_picture_can_be_sent_from_the_home_page() -> None:
    client = Client(enforce_csrf_checks=True)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/").content.decode())
    assert token
    picture = SimpleUploadedFile("sea.jpg", jpeg(1), content_type="image/jpeg")
    response = client.post(reverse("checks:new"), {"files": picture, "csrfmiddlewaretoken": token[1]})
    assert response["Location"] == reverse("checks:detail", args=[Check.objects.get().pk])


@pytest.mark.parametrize("name", PUBLIC)
def test_pages_keep_the_strict_policy(name: str) -> None:
    response = Client().get(reverse(name))
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert Page(response.content.decode()).inline == []


@pytest.mark.parametrize("name", PUBLIC)
def test_pages_have_one_heading_of_the_first_level_and_unique_ids(name: str) -> None:
    found = page(reverse(name))
    assert found.headings.count("h1") == 1
    assert found.headings[0] == "h1"
    assert len(found.ids) == len(set(found.ids))


def test_every_link_leads_somewhere() -> None:
    links = {(name, link) for name in PUBLIC for link in page(reverse(name)).links}
    assert all(link.startswith(("/", "#")) for _name, link in links), "a link leaves the site"
    paths = {link.partition("#")[0] for _name, link in links} - {""}
    answers = {path: Client().get(path) for path in paths if not path.startswith("/static/")}
    assert {path for path, answer in answers.items() if answer.status_code not in (200, 302)} == set()
    for name, link in links:
        path, _, anchor = link.partition("#")
        if anchor:
            target = answers[path] if path else Client().get(reverse(name))
            assert anchor in Page(target.content.decode()).ids, link


def test_methods_other_than_reading_are_refused() -> None:
    for name in ("pages:home", "pages:help", "pages:errors", "pages:accuracy", "pages:healthz", "pages:readyz"):
        assert Client().post(reverse(name)).status_code == 405
        assert Client().head(reverse(name)).status_code == 200


def test_limits_and_times_are_those_in_force(settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 7 * 1024**2
    settings.CHECK_MAX_FILES = 3
    settings.CHECK_RETENTION_HOURS = 36
    settings.UNDO_HOURS = 24
    settings.CHECKS_PER_HOUR_VISITOR = 1234
    home = Client().get(reverse("pages:home")).content.decode()
    assert "up to 7 MB each, 3 at a time" in home
    assert "deleted after 36 hours" in home
    assert 'data-max-bytes="7340032"' in home
    text = Client().get(reverse("pages:help")).content.decode()
    for words in ("at most 7 MB", "3 at a time", "1,234 an hour", "deleted after 36 hours", "brought back for 1 day"):
        assert words in text


def test_every_error_code_has_its_place() -> None:
    ids = page(reverse("pages:errors")).ids
    assert {str(code) for code in ErrorCode} <= set(ids)


def test_the_menu_follows_who_looks(cast: Cast) -> None:
    anonymous = page(reverse("pages:help")).links
    assert reverse("account_signup") in anonymous
    assert reverse("pages:dashboard") not in anonymous
    owner = page(reverse("pages:help"), cast.client("owner")).links
    assert {reverse("pages:dashboard"), reverse("catalogues:list"), reverse("account_logout")} <= set(owner)
    assert reverse("reviews:queue") not in owner
    assert reverse("reviews:queue") in page(reverse("pages:help"), cast.client("reviewer")).links


def test_the_old_address_of_icons_leads_to_ours() -> None:
    response = Client().get("/favicon.ico")
    assert response.status_code == 302
    assert response["Location"].endswith("logo.svg")
