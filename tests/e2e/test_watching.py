"""A check is watched: after a reload, in a second tab, without sockets, without scripts; and cancelled."""

from __future__ import annotations

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.conftest import NewContext
from tests.e2e.pictures import edited, payload, unknown
from tests.e2e.site import Site
from tests.e2e.steps import send


def test_a_reload_and_a_second_tab_show_the_same(page: Page, site: Site) -> None:
    with site.worker_suspended():
        send(page, payload("holiday.png", edited("bridge")))
        expect(page.get_by_role("heading", level=1)).to_have_text("Checking your picture")
        words = page.locator("[data-job-words]")
        expect(words).to_have_text("Waiting")
        steps = page.locator(".steps li").all_inner_texts()
        page.reload()
        expect(words).to_have_text("Waiting")
        assert page.locator(".steps li").all_inner_texts() == steps
        tab = page.context.new_page()
        tab.goto(page.url)
        expect(tab.locator("[data-job-words]")).to_have_text("Waiting")
        assert tab.locator(".steps li").all_inner_texts() == steps
    for window in (page, tab):
        expect(window.get_by_role("heading", level=1)).to_have_text("Registered")
        expect(window.locator(".verdict")).to_contain_text("“Bridge”")


def test_where_sockets_are_blocked_the_page_asks_instead(page: Page) -> None:
    blocked: list[str] = []
    asked: list[str] = []

    def close(route: WebSocketRoute) -> None:
        blocked.append(route.url)
        route.close()

    page.route_web_socket("**/ws/**", close)
    page.on("request", lambda request: asked.append(request.url) if "/jobs/" in request.url else None)
    send(page, payload("holiday.png", edited("rocket")))
    expect(page.get_by_role("heading", level=1)).to_have_text("Registered")
    assert blocked
    assert asked


def test_without_scripts_the_waiting_page_comes_again_by_itself(new_context: NewContext, site: Site) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/")
    with site.worker_suspended():
        page.set_input_files("#files", [payload("holiday.png", edited("wine"))])
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Checking your picture")
        expect(page.locator("progress")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registered")
    page.get_by_role("link", name="Lay one over the other").click()
    expect(page.locator(".side-by-side img")).to_have_count(3)


def test_a_waiting_check_is_cancelled_by_whoever_sent_it_only(page: Page, new_context: NewContext, site: Site) -> None:
    with site.worker_suspended():
        send(page, payload("mine.png", unknown()))
        stranger = new_context().new_page()
        stranger.goto(page.url)
        expect(stranger.get_by_role("heading", level=1)).to_have_text("Checking your picture")
        expect(stranger.get_by_role("button", name="Cancel")).to_have_count(0)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("This check was cancelled")
        expect(stranger.get_by_role("heading", level=1)).to_have_text("This check was cancelled")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("This check was cancelled")


def test_pictures_sent_together_are_cancelled_one_by_one(page: Page, site: Site) -> None:
    with site.worker_suspended():
        send(page, payload("keep.png", edited("fig")), payload("drop.png", unknown()))
        item = page.locator("li.card").filter(has=page.get_by_role("link", name="drop.png"))
        item.get_by_role("button", name="Cancel").click()
        expect(item.locator(".badge")).to_have_text("Cancelled")
    kept = page.locator("li.card").filter(has=page.get_by_role("link", name="keep.png"))
    expect(kept.locator(".badge")).to_have_text("Registered")
