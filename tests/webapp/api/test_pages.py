"""The API's pages for people: the guide and the reference."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.api import contract
from tests.webapp.conftest import Cast


@pytest.mark.parametrize("name", ["api-guide", "api-docs"])
@pytest.mark.parametrize("who", ["anonymous", "owner", "outsider", "reviewer"])
def test_it_works(cast: Cast, who: str, name: str) -> None:
    page = cast.client(who).get(reverse(name))

    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")


def test_the_reference_runs_no_script_but_files_of_ours(db: None) -> None:
    page = Client().get("/api/docs/")

    body = page.content.decode()
    assert all('src="/static/' in tag for tag in re.findall(r"<script[^>]*>", body))
    assert not re.search(r"<style|\sstyle=|\son\w+=", body)
    assert "'unsafe-inline'" not in page["Content-Security-Policy"]
    assert f'data-schema="{reverse("api-schema")}"' in body


def test_the_site_leads_there(db: None) -> None:
    assert reverse("api-docs") in Client().get("/").content.decode()
    guide, docs = reverse("api-guide"), reverse("api-docs")
    assert docs in Client().get(guide).content.decode()
    assert guide in Client().get(docs).content.decode()


def test_the_guide_names_addresses_that_there_are(db: None) -> None:
    body = Client().get("/api/").content.decode()

    addresses = re.findall(r"curl http://testserver(/api/v1/\S+)", body)
    assert len(addresses) >= 6
    for address in addresses:
        path = address.replace("/ID", "/6f3d0e2a-6a0e-4f4b-9d5e-0c8f5f7f3a11")
        assert contract.find("GET", path) or contract.find("POST", path), address
