"""A holder makes a catalogue private and fills it; somebody else's copy is found in it, and nobody sees either."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from provenance.private_lookup import engine_setup
from provenance.private_lookup.errors import EngineUnavailable
from tests.e2e.pictures import payload, png_of
from tests.e2e.steps import complaints
from tests.webapp.pictures import pixels_of

PICTURES = [payload(f"unpublished-{seed}.png", png_of(pixels_of(seed, 320, 240))) for seed in (951, 952, 953)]


@pytest.fixture(autouse=True)
def _engine_is_here() -> None:
    try:
        engine_setup.find()
    except EngineUnavailable as problem:
        pytest.skip(str(problem))


def test_from_an_empty_catalogue_to_a_private_match(owner_page: Page) -> None:
    page = owner_page
    page.set_default_timeout(60_000)
    page.goto("/catalogues/new/")
    page.get_by_label("name").fill("Not published yet")
    page.get_by_role("button", name="Make the catalogue").click()
    page.get_by_role("link", name="make it a private catalogue").click()
    page.get_by_label("This site's worker does it").check()
    page.get_by_label("How many pictures it will have").fill("500")
    page.get_by_role("button", name="See what to expect").click()
    # Said before anything is made.
    expect(page.get_by_role("heading", name="What to expect")).to_be_visible()
    expect(page.locator("main")).to_contain_text("at most 32 of 256 bits differ; nothing verifies it")
    beginning = page.url
    page.get_by_role("button", name="Make it private").click()
    expect(page.locator(".page-head .badge")).to_have_text("Private, empty", timeout=120_000)
    address = page.url
    assert beginning.startswith(address)
    page.set_input_files("#pictures", PICTURES)
    page.get_by_role("button", name="Encrypt").click()
    expect(page.locator("main")).to_contain_text("Private, answers questions", timeout=120_000)
    expect(page.get_by_label("unpublished-951.png")).to_be_visible()
    assert complaints(page, address, "light") == []

    # Deleted, and brought back.
    page.get_by_label("unpublished-953.png").check()
    page.get_by_role("button", name="Delete the chosen entries").click()
    # The page is loaded anew when the keyholders have looked at it.
    expect(page.get_by_text("1 deleted entry")).to_be_visible()
    expect(page.locator(".progress-card")).to_have_count(0, timeout=60_000)
    page.get_by_text("1 deleted entry").click()
    page.get_by_label("unpublished-953.png").check()
    page.get_by_role("button", name="Undo the deletion of the chosen").click()
    expect(page.get_by_text("1 deleted entry")).to_have_count(0)
    expect(page.locator(".progress-card")).to_have_count(0, timeout=60_000)

    assert complaints(page, "/check/", "light") == []
    page.set_input_files("#files", [payload("found.png", png_of(pixels_of(952, 300, 225)))])
    page.get_by_label(re.compile("Not published yet")).check()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "A private catalogue reports a match", timeout=120_000
    )
    expect(page.locator("main")).to_contain_text("Nothing verified it.")
    assert complaints(page, page.url, "light") == []
