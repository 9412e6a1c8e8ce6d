"""A reviewer decides on matches, with buttons and keys, and takes it back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Errors
from tests.e2e.pictures import edited
from tests.e2e.steps import check, images_loaded

TITLE = "Brushes"
QUEUE = f"/reviews/?query={TITLE}"


@pytest.fixture
def match(page: Page, owner_page: Page) -> Page:
    """The page of a match that a visitor's check made, as a reviewer sees it."""
    check(page, "reposted.png", edited("brushes"), verdict="Registered")
    owner_page.goto("/")
    owner_page.get_by_role("link", name="Reviews", exact=True).click()
    expect(owner_page.get_by_role("heading", level=1)).to_have_text("Review queue")
    owner_page.goto(f"{QUEUE}&state=all")
    expect(owner_page.locator(".thumb")).to_have_count(1)
    owner_page.locator(".thumb a").click()
    expect(owner_page.get_by_role("heading", level=1)).to_have_text(TITLE)
    return owner_page


def test_confirm_by_key_and_undo_by_key(match: Page, page: Page) -> None:
    assert images_loaded(match, ".side-by-side img") == [True, True]
    badge = match.locator(".page-head .badge")
    expect(badge).to_have_text("To review")
    note = match.get_by_label("Note")
    note.fill("")
    note.press_sequentially("cr")
    expect(match.get_by_role("heading", level=1)).to_have_text(TITLE)
    note.blur()
    match.keyboard.press("c")
    expect(match.get_by_text(f"{TITLE}: Confirmed.")).to_be_visible()

    check(page, "reposted.png", edited("brushes"), verdict="Registered")
    expect(page.locator(".evidence").filter(has_text="Reviewers")).to_contain_text("Speaks for registration")

    match.keyboard.press("u")
    expect(match.get_by_text("Taken back.")).to_be_visible()
    expect(badge).to_have_text("To review")
    expect(match.get_by_text("undone")).to_be_visible()


def test_reject_by_button_changes_the_next_verdict(match: Page, page: Page) -> None:
    match.get_by_role("button", name="Reject").click()
    expect(match.get_by_text(f"{TITLE}: Rejected.")).to_be_visible()
    page.goto("/check/")
    page.set_input_files("#files", [{"name": "again.png", "mimeType": "image/png", "buffer": edited("brushes")}])
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".evidence").filter(has_text="Reviewers")).to_contain_text("Speaks against")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Registered")
    match.get_by_role("button", name="Undo").first.click()
    expect(match.get_by_text("Taken back.")).to_be_visible()


def test_the_queue_is_for_reviewers(page: Page, errors: Errors) -> None:
    page.goto(QUEUE)
    assert "/accounts/login/" in page.url
    expect(page.get_by_role("link", name="Reviews", exact=True)).to_have_count(0)
