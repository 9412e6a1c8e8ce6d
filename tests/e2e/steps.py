"""What people do on the pages, for tests that need it done."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import FilePayload, Page, expect

from tests.e2e.pictures import payload


def send(page: Page, *files: FilePayload) -> None:
    """Choose files on the home page and send them."""
    page.goto("/")
    page.set_input_files("#files", list(files))
    page.get_by_role("button", name="Check", exact=True).click()
    page.wait_for_url("**/check/**")


def check(page: Page, name: str, data: bytes, *, verdict: str) -> str:
    """Have a picture checked, expect that verdict, and return the page's address."""
    send(page, payload(name, data))
    expect(page.get_by_role("heading", level=1)).to_have_text(verdict)
    return page.url


def images_loaded(page: Page, selector: str) -> Sequence[bool]:
    """Tell of each image whether it is there, once all have been fetched."""
    return page.locator(selector).evaluate_all(
        """async (images) => {
            await Promise.all(images.map((image) => image.decode().catch(() => null)));
            return images.map((image) => image.naturalWidth > 0);
        }"""
    )
