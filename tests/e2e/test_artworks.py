"""A creator has a picture generated from two keys, proves it, fails with other keys, and sees what a pixel changes."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import FilePayload, Page, StorageState, expect

from tests.e2e.conftest import Errors, NewContext
from tests.e2e.site import Site
from tests.e2e.steps import complaints, images_loaded, tab_to

PROMPT = "a red sunset over the sea"
SIGNATURE = FilePayload(name="song.flac", mimeType="audio/flac", buffer=b"a tune that nobody else has, 4711")
A_GENERATION = 120_000


def _ask(page: Page, title: str, prompt: str = PROMPT) -> None:
    page.goto("/artworks/new/")
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.set_input_files("input[name=signature]", [SIGNATURE])
    page.get_by_role("textbox", name="Title").fill(title)
    page.check("input[name=preset][value=draft]")
    page.get_by_role("button", name="Generate and register").click()


def _ask_by_keyboard(page: Page, title: str) -> None:
    page.goto("/artworks/new/")
    button = page.get_by_role("button", name="Generate and register")
    prompt, file = page.get_by_role("textbox", name="Prompt"), page.locator("input[name=signature]")
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(prompt).to_be_focused()
    page.keyboard.type(PROMPT)
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    tab_to(page, button)
    page.keyboard.press("Enter")
    # The browser says that a file is missing; choosing it happens in a window of the browser's own.
    expect(file).to_be_focused()
    file.set_input_files([SIGNATURE])
    tab_to(page, page.get_by_role("textbox", name="Title"))
    page.keyboard.type(title)
    tab_to(page, page.locator("input[name=preset]:checked"))
    page.keyboard.press("ArrowUp")
    expect(page.locator("input[name=preset][value=draft]")).to_be_checked()
    tab_to(page, button)
    page.keyboard.press("Enter")


def _generate(page: Page, title: str) -> str:
    """Have a draft generated to its end; return its page's address."""
    _ask(page, title)
    page.wait_for_url(re.compile(r"/artworks/[0-9a-f-]{36}/$"))
    expect(page.get_by_role("link", name="Prove ownership")).to_be_visible(timeout=A_GENERATION)
    return page.url


def _prove(page: Page, artwork: str, prompt: str) -> None:
    page.goto(f"{artwork}prove/")
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.set_input_files("input[name=signature]", [SIGNATURE])
    page.get_by_role("button", name="Make it again").click()
    page.wait_for_url("**/proofs/**")


def _done(page: Page) -> int:
    """Return how many iterations the page says are done."""
    text = page.locator("[data-job-words]").inner_text()
    found = re.search(r"(\d+) of 40", text)
    assert found, text
    return int(found[1])


def test_a_picture_is_generated_watched_and_proved(
    site: Site, new_context: NewContext, owner_state: StorageState
) -> None:
    page = new_context(storage_state=owner_state).new_page()
    heard: list[dict[str, Any]] = []
    page.on("websocket", lambda one: one.on("framereceived", lambda frame: heard.append(json.loads(frame))))
    _ask_by_keyboard(page, "Evening")
    page.wait_for_url(re.compile(r"/artworks/[0-9a-f-]{36}/$"))
    preview = page.locator(".preview img")
    expect(preview).to_be_visible(timeout=A_GENERATION)
    first = preview.get_attribute("src")
    # Renewed over the socket, without a reload; and a reload goes on where it is.
    changed = "first => document.querySelector('.preview img')?.getAttribute('src') !== first"
    page.wait_for_function(changed, arg=first)
    assert [one["done"] for one in heard] == sorted(one["done"] for one in heard)
    with site.worker_suspended():
        before = _done(page)
        assert before > 0
        page.reload()
        assert _done(page) >= before
        expect(preview).to_be_visible()
        assert complaints(page, page.url, "light") == []
    expect(page.get_by_role("link", name="Prove ownership")).to_be_visible(timeout=A_GENERATION)
    assert heard[-1]["final"] is True
    assert images_loaded(page, ".picture.artwork img") == [True]
    expect(page.get_by_text("Canonical", exact=True)).to_be_visible()
    digests = page.locator("section[aria-labelledby=digests] dd").all_inner_texts()
    assert len(digests) == 7
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert PROMPT not in page.content()
    artwork = page.url

    _prove(page, artwork, PROMPT)
    expect(page.get_by_role("heading", level=1)).to_have_text("Identical", timeout=A_GENERATION)
    expect(page.get_by_text("100 %", exact=True)).to_be_visible()

    _prove(page, artwork, "a green forest")
    expect(page.get_by_role("heading", level=1)).to_have_text("Different", timeout=A_GENERATION)
    expect(page.get_by_text("The prompt is not the one that the recipe commits to.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+\.\d\d dB$"))).to_be_visible()
    assert all(images_loaded(page, "main figure img"))
    # Small pictures are enlarged for comparing too.
    assert (page.locator(".compare-stage").bounding_box() or {})["width"] > 400
    assert page.locator("main svg[viewBox^='0 0 256']").count() >= 4
    proof = page.url

    page.goto(artwork)
    expect(page.get_by_role("row").filter(has_text="Identical")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="Different")).to_have_count(1)
    pages = (artwork, f"{artwork}prove/", f"{artwork}edit/", proof)
    for scheme in ("light", "dark"):
        looked = new_context(color_scheme=scheme, storage_state=owner_state).new_page()
        assert [one for address in pages for one in complaints(looked, address, scheme)] == []


def test_bad_input_is_refused_in_words_and_the_file_is_kept(owner_page: Page, errors: Errors) -> None:
    errors.expect("status of 4")
    page = owner_page
    page.goto("/artworks/new/")
    page.set_input_files("input[name=signature]", [SIGNATURE])
    page.get_by_role("textbox", name="Prompt").fill("   ")
    page.get_by_role("textbox", name="Title").fill("Nothing")
    page.get_by_role("button", name="Generate and register").click()
    expect(page.get_by_text("Say in words what the picture is to show.").first).to_be_visible()
    expect(page.get_by_text("Your signature file was read and need not be sent again.")).to_be_visible()
    page.get_by_role("textbox", name="Prompt").fill("a blorptic zebrule")
    page.get_by_role("button", name="Generate and register").click()
    expect(page.get_by_role("alert").get_by_text("blorptic")).to_be_visible()


def test_a_generation_is_cancelled(owner_page: Page) -> None:
    page = owner_page
    _ask(page, "Never")
    page.wait_for_url(re.compile(r"/artworks/[0-9a-f-]{36}/$"))
    expect(page.locator(".preview img")).to_be_visible(timeout=A_GENERATION)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("This was cancelled before there was a picture.")).to_be_visible(timeout=A_GENERATION)
    page.get_by_role("button", name="Remove this entry").click()
    expect(page.get_by_text("Removed: it had no picture yet.")).to_be_visible()


def test_without_scripts(new_context: NewContext, owner_state: StorageState) -> None:
    """From the form to the picture by the page's own refresh, then deleted and brought back."""
    page = new_context(storage_state=owner_state, java_script_enabled=False).new_page()
    artwork = _generate(page, "Quiet evening")
    page.goto(f"{artwork}edit/")
    page.get_by_role("button", name="Delete the artwork").click()
    expect(page.get_by_text("Deleted: “Quiet evening”.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quiet evening")


def test_what_one_pixel_changes(owner_page: Page) -> None:
    page = owner_page
    page.goto("/artworks/what-changed/")
    page.get_by_role("textbox", name="Prompt").fill(PROMPT)
    page.locator("[data-pixel-canvas]").click(position={"x": 5, "y": 5})
    expect(page.get_by_label("Column")).to_have_value("0")
    expect(page.get_by_label("Row")).to_have_value("0")
    page.get_by_role("button", name="Generate both").click()
    expect(page.get_by_text(re.compile(r"\d+\.\d+ dB"))).to_be_visible(timeout=A_GENERATION)
    assert len(images_loaded(page, "main figure img")) >= 2
    assert all(images_loaded(page, "main figure img"))
    assert complaints(page, page.url, "light") == []
