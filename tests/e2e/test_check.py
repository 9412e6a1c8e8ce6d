"""A visitor has pictures checked: from the drop zone to the receipt, and what is refused on the way."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
import rfc8785
from playwright.sync_api import Page, WebSocket, expect

from tests.e2e.conftest import Errors, NewContext
from tests.e2e.pictures import edited, flat, payload, sample, unknown
from tests.e2e.steps import check, images_loaded, send


def test_an_edited_copy_is_found_and_its_answer_can_be_kept(page: Page, new_context: NewContext) -> None:
    snapshots: list[dict[str, Any]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: snapshots.append(json.loads(frame)))

    page.on("websocket", listen)
    page.goto("/")
    button = page.get_by_role("button", name="Check", exact=True)
    expect(button).to_be_disabled()
    page.set_input_files("#files", [payload("holiday.png", edited("coffee"))])
    expect(page.locator(".drop-list li")).to_contain_text("holiday.png")
    assert images_loaded(page, ".drop-list img") == [True]
    button.click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Registered")
    expect(page.locator(".verdict")).to_contain_text("“Cup of coffee”")
    assert snapshots, "the socket said nothing"
    named = [step["label"] for step in snapshots[0]["steps"]]
    assert "Opening the picture" in named
    assert len(named) >= 4
    assert snapshots[-1]["final"] is True
    assert [step["state"] for step in snapshots[-1]["steps"]] == ["done"] * len(named)
    assert [one["seq"] for one in snapshots] == sorted({one["seq"] for one in snapshots})

    pair = page.locator(".evidence").filter(has_text="Side by side").first
    expect(pair).to_contain_text("Speaks for registration")
    expect(pair).to_contain_text("Overlap")
    expect(page.locator(".evidence").filter(has_text="Exact file")).to_contain_text("No registered file is the same")
    expect(page.locator(".evidence").filter(has_text="Look-alikes (pdq-v1)")).to_contain_text("of 256 bits")
    expect(page.get_by_alt_text("The picture you sent")).to_be_visible()

    with page.expect_download() as download:
        page.get_by_role("link", name="Download the receipt").click()
    assert download.value.suggested_filename.endswith(".json")
    receipt = json.loads(download.value.path().read_bytes())
    digest = receipt.pop("receipt_sha256")
    assert digest == hashlib.sha256(rfc8785.dumps(receipt)).hexdigest()
    assert receipt["verdict"] == "registered"
    assert receipt["picture"]["sha256"] == hashlib.sha256(edited("coffee")).hexdigest()

    stranger = new_context().new_page()
    stranger.goto(page.url)
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Registered")
    expect(stranger.get_by_alt_text("The picture you sent")).to_have_count(0)
    expect(stranger.get_by_role("button", name="Delete my upload now")).to_have_count(0)
    picture = stranger.request.get(f"{page.url}picture.jpg")
    assert picture.status == 404


def test_the_very_file_is_found_exactly(page: Page) -> None:
    check(page, "same.jpg", sample("astronaut"), verdict="Registered")
    expect(page.locator(".evidence").first).to_contain_text("Exact file")


def test_an_unknown_picture_is_not_found_here(page: Page) -> None:
    check(page, "mine.png", unknown(), verdict="Not found here")
    expect(page.get_by_role("link", name="Lay one over the other")).to_have_count(0)


def test_of_a_flat_picture_nothing_can_be_said(page: Page) -> None:
    check(page, "flat.png", flat(), verdict="Cannot tell")
    expect(page.locator(".verdict")).to_contain_text("too simple")


def test_several_pictures_share_a_page(page: Page) -> None:
    send(
        page,
        payload("one.png", edited("rocket")),
        payload("two.png", unknown()),
        payload("three.png", flat()),
    )
    assert "/check/batch/" in page.url
    expect(page.get_by_role("heading", level=1)).to_have_text("3 pictures sent together")
    for name, verdict in (("one.png", "Registered"), ("two.png", "Not found here"), ("three.png", "Cannot tell")):
        item = page.locator("li.card").filter(has=page.get_by_role("link", name=name))
        expect(item.locator(".badge")).to_have_text(verdict)


def test_an_upload_can_be_deleted_at_once(page: Page) -> None:
    check(page, "mine.png", unknown(), verdict="Not found here")
    picture = f"{page.url}picture.jpg"
    assert page.request.get(picture).ok
    page.get_by_role("button", name="Delete my upload now").click()
    expect(page.get_by_text("The picture is deleted, with everything made from it.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found here")
    assert page.request.get(picture).status == 404


def _dispatch(page: Page, kind: str, *names: str) -> None:
    """Drop or paste the same picture under these names."""
    page.evaluate(
        """([kind, names, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            names.forEach((name) => transfer.items.add(new File([bytes], name, { type: "image/png" })));
            const event = kind === "drop"
                ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true })
                : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
            document.querySelector("[data-drop]").dispatchEvent(event);
        }""",
        [kind, list(names), base64.b64encode(edited("chelsea")).decode()],
    )


# Browsers call every pasted picture image.png, so that the page numbers them.
@pytest.mark.parametrize(
    ("kind", "one", "two"), [("drop", "cat.png", "other.png"), ("paste", "pasted-1.png", "pasted-2.png")]
)
def test_pictures_are_dropped_or_pasted_and_removed(page: Page, kind: str, one: str, two: str) -> None:
    page.goto("/check/")
    _dispatch(page, kind, "cat.png", "other.png")
    expect(page.locator(".drop-list li")).to_have_count(2)
    expect(page.get_by_text("2 files chosen")).to_be_visible()
    page.get_by_role("button", name=f"Remove {two}").click()
    expect(page.locator(".drop-list li")).to_have_count(1)
    page.get_by_role("button", name=f"Remove {one}").click()
    expect(page.get_by_role("button", name="Check", exact=True)).to_be_disabled()
    _dispatch(page, kind, "cat.png")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registered")
    expect(page.locator(".verdict")).to_contain_text("“Chelsea the cat”")


def test_a_text_file_in_a_pictures_clothes_is_named(page: Page, errors: Errors) -> None:
    errors.expect("status of 4")
    page.goto("/")
    page.set_input_files("#files", [payload("letter.jpg", b"Dear Sir or Madam,\n" * 40)])
    page.get_by_role("button", name="Check", exact=True).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("letter.jpg")
    expect(alert).to_contain_text("JPEG")
    page.set_input_files("#files", [payload("mine.png", unknown())])
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found here")


def test_a_broken_picture_gets_a_reason_not_a_verdict(page: Page) -> None:
    send(page, payload("torn.jpg", sample("coffee")[:3000]))
    expect(page.get_by_role("heading", level=1)).to_have_text("This check could not be done")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_text("torn.jpg")).to_be_visible()


def test_an_eleventh_picture_is_left_out_and_that_is_said(page: Page) -> None:
    page.goto("/")
    page.set_input_files("#files", [payload(f"{n}.png", flat()) for n in range(11)])
    expect(page.locator(".drop-list li")).to_have_count(10)
    expect(page.get_by_text("At most 10 files can be sent at once: the first 10 were kept.")).to_be_visible()


def test_without_scripts_too_eleven_pictures_are_refused(new_context: NewContext, errors: Errors) -> None:
    errors.expect("status of 4")
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/check/")
    page.set_input_files("#files", [payload(f"{n}.png", flat()) for n in range(11)])
    page.get_by_role("button", name="Check", exact=True).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("at most 10")
    expect(page.locator("#files")).to_be_visible()


def test_an_empty_file_is_named_before_it_is_sent(page: Page) -> None:
    page.goto("/")
    page.set_input_files("#files", [payload("nothing.png", b"")])
    expect(page.get_by_text("nothing.png is empty.")).to_be_visible()
    expect(page.get_by_role("button", name="Check", exact=True)).to_be_disabled()
