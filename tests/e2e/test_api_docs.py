"""The API's pages for people, drawn under the strict content security policy."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewContext


def test_every_operation_is_drawn_and_can_be_opened(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="API", exact=True).first.click()
    page.goto("/api/docs/")
    operations = page.locator(".opblock")
    expect(operations.first).to_be_visible()
    schema = page.request.get("/api/schema/?format=json")
    assert schema.ok
    assert operations.count() >= 10
    page.locator(".opblock-summary-control").first.click()
    expect(page.locator(".opblock.is-open")).to_have_count(1)
    expect(page.locator(".opblock.is-open").get_by_text("Responses").first).to_be_visible()


def test_without_scripts_the_document_is_offered(new_context: NewContext) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/api/docs/")
    with page.expect_download() as download:
        page.get_by_role("link", name="OpenAPI document").click()
    assert download.value.path().read_text(encoding="utf-8").startswith("openapi:")
