"""One site and one browser for all tests of pages; a fresh context for each test, which must leave no error behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from tests.e2e.site import Site
from tests.server import RUN_HOME

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NewContext = Callable[..., BrowserContext]
# The other worker's tests take the site's processor away for seconds at a time.
expect.set_options(timeout=45_000)


@pytest.hookimpl(tryfirst=True)  # Before xdist reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one of several parallel workers, so that there is one site."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    # A folder for each process that starts a site: two must not meet in one.
    home = RUN_HOME / f"e2e-{os.getpid()}"
    home.mkdir(parents=True)
    running = Site(home)
    try:
        yield running
    finally:
        status = running.stop()
        shutil.rmtree(home, ignore_errors=True)
    assert status == 0, "\n".join(running.lines)


# Not for the whole session: its loop would be in the way of asyncio's in tests after these.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


class Errors:
    """What browsers complained of: errors and violations of the content security policy, and failed scripts."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._expected: list[str] = []

    def expect(self, text: str) -> None:
        """Allow errors with this text: a page that is refused with a 4xx status is one to the browser."""
        self._expected.append(text)

    def watch(self, context: BrowserContext) -> None:
        context.on("console", lambda message: self._heard(message.type, message.text, message.page))
        context.on("weberror", lambda error: self.found.append(f"{error.page and error.page.url}: {error.error}"))

    def _heard(self, kind: str, text: str, page: Page | None) -> None:
        if kind == "error" or "Content Security Policy" in text:
            self.found.append(f"{page and page.url}: {text}")

    def unexpected(self) -> list[str]:
        return [one for one in self.found if not any(text in one for text in self._expected)]


@pytest.fixture
def errors(site: Site) -> Iterator[Errors]:
    """Fail the test in which a browser complained or the site logged an error."""
    errors = Errors()
    before = len(site.lines)
    yield errors
    assert [line for line in site.lines[before:] if '"level": "ERROR"' in line] == []
    assert errors.unexpected() == []


@pytest.fixture
def new_context(site: Site, browser: Browser, errors: Errors) -> Iterator[NewContext]:
    """Return how to make a context of the site: another person, device or window."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(
            base_url=site.url, **{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        )
        context.set_default_timeout(45_000)
        errors.watch(context)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: NewContext) -> Page:
    """A visitor without an account."""
    return new_context().new_page()


@pytest.fixture(scope="package")
def owner_state(site: Site, browser: Browser) -> StorageState:
    """The cookies of the demo organisation's owner, who logs in once."""
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.fill("[name=login]", site.owner[0])
    page.fill("[name=password]", site.owner[1])
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/dashboard/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def owner_page(new_context: NewContext, owner_state: StorageState) -> Page:
    """The demo organisation's owner, logged in."""
    return new_context(storage_state=owner_state).new_page()
