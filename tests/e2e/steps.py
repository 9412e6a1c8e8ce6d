"""What people do on the pages, for tests that need it done."""

from __future__ import annotations

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.e2e.pictures import payload

COLOURS = {"runOnly": {"type": "tag", "values": ["cat.color"]}}


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


def complaints(page: Page, address: str, scheme: str) -> list[str]:
    """Return what axe finds wrong with a page, and whether it is too wide for a phone."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok or answer.status == 404, f"{address}: {answer.status}"
    found = [
        f"{address}: {one['id']} {node['target']} {node['html'][:120]} {node['failureSummary'][:200]}"
        # What a page says and how is the same in the dark; only its colours differ.
        for one in Axe().run(page, options=COLOURS if scheme == "dark" else None).response["violations"]
        for node in one["nodes"]
    ]
    page.set_viewport_size({"width": 390, "height": 844})
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > 390:
        found.append(f"{address}: {wide} px wide on a phone")
    page.set_viewport_size({"width": 1280, "height": 900})
    return found


def tab_to(page: Page, target: Locator) -> None:
    """Go to an element by the Tab key alone."""
    for _step in range(40):
        page.keyboard.press("Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"the Tab key does not reach {target}")
