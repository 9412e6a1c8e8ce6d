"""Pages for everybody: axe finds nothing, in light and dark; they fit a phone; the keyboard is enough."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.e2e.conftest import Errors, NewContext
from tests.e2e.pictures import edited, payload
from tests.e2e.site import Site
from tests.e2e.steps import complaints, tab_to

VISITOR = ["/", "/check/", "/check/history/", "/help/", "/help/errors", "/accuracy/", "/accounts/login/"]
VISITOR += ["/accounts/signup/", "/accounts/password/reset/", "/api/", "/no/such/page/"]
MEMBER = ["/dashboard/", "/catalogues/", "/catalogues/new/", "/organisation/new/", "/organisation/invitations/"]
MEMBER += ["/accounts/email/", "/reviews/?state=all", "/artworks/", "/artworks/new/", "/artworks/what-changed/"]
MEMBER += ["/signatures/", "/signatures/new/"]


@pytest.fixture(scope="module")
def addresses(site: Site, browser: Browser, owner_state: StorageState) -> dict[str, str]:
    """Addresses of pages that have an id in them, by what they show."""
    context = browser.new_context(base_url=site.url, storage_state=owner_state)
    page = context.new_page()
    page.goto("/check/")
    page.set_input_files("#files", [payload("holiday.png", edited("dragonfly"))])
    page.get_by_role("button", name="Check", exact=True).click()
    compare = page.get_by_role("link", name="Lay one over the other").first
    compare.wait_for()
    found = {"verdict": page.url, "compare": str(compare.get_attribute("href"))}
    found["record"] = str(page.get_by_role("link", name="See the record").first.get_attribute("href"))
    page.goto("/catalogues/")
    page.get_by_role("link", name="Sample catalogue").click()
    page.wait_for_url(re.compile(r"/catalogues/[0-9a-f-]{36}/$"))
    found["catalogue"] = page.url
    found["upload"] = f"{page.url}upload/"
    found["edit"] = f"{page.url}edit/"
    found["hash"] = f"{page.url}hash/"
    found["item"] = str(page.locator(".thumb a.title").first.get_attribute("href"))
    found["import"] = str(page.locator("a[href*='/catalogues/imports/']").first.get_attribute("href"))
    page.goto("/dashboard/")
    organisation = str(page.locator("main a[href^='/organisation/']:not([href*=new])").first.get_attribute("href"))
    found["organisation"] = re.sub(r"(/organisation/[0-9a-f-]{36}/).*", r"\1", organisation)
    found["keys"] = f"{found['organisation']}keys/"
    found["activity"] = f"{found['organisation']}activity/"
    page.goto("/reviews/?state=all")
    found["match"] = str(page.locator(".thumb a").first.get_attribute("href"))
    context.close()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_visitors_pages(new_context: NewContext, errors: Errors, scheme: str) -> None:
    errors.expect("status of 404")
    page = new_context(color_scheme=scheme).new_page()
    assert [one for address in VISITOR for one in complaints(page, address, scheme)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_members_pages(
    new_context: NewContext, owner_state: StorageState, addresses: dict[str, str], scheme: str
) -> None:
    page = new_context(color_scheme=scheme, storage_state=owner_state).new_page()
    assert [one for address in (*MEMBER, *addresses.values()) for one in complaints(page, address, scheme)] == []


def test_a_waiting_and_a_refused_page(page: Page, site: Site, errors: Errors) -> None:
    errors.expect("status of 4")
    page.goto("/check/")
    page.set_input_files("#files", [payload("letter.jpg", b"Dear Sir or Madam" * 9)])
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    with site.worker_suspended():
        page.set_input_files("#files", [payload("holiday.png", edited("free"))])
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Checking your picture")
        assert Axe().run(page).response["violations"] == []


def test_the_keyboard_is_enough_for_a_check(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    tab_to(page, page.locator("#files"))
    # The chooser itself is the browser's own window; what is ours is that the Tab key reaches the field.
    page.locator("#files").set_input_files([payload("holiday.png", edited("fig"))])
    remove = page.get_by_role("button", name="Remove holiday.png")
    tab_to(page, remove)
    button = page.get_by_role("button", name="Check", exact=True)
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Registered")
    compare = page.get_by_role("link", name="Lay one over the other").first
    tab_to(page, compare)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("“Fig in a bowl”")
    tab_to(page, page.get_by_label("Position of the divider"))
    page.keyboard.press("End")
    expect(page.get_by_label("Position of the divider")).to_have_value("100")


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    page.goto("/")
    toggle = page.locator("[data-theme-toggle]")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    page.goto("/help/")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper


def test_the_menu_of_a_phone(new_context: NewContext) -> None:
    page = new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto("/")
    menu = page.get_by_role("button", name="Menu")
    entry = page.get_by_role("navigation", name="Main").get_by_role("link", name="Help")
    expect(entry).to_be_hidden()
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    entry.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How verdicts are reached")
