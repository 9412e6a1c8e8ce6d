"""A creator has a picture generated from two keys, proves it, fails with other keys, and sees what a pixel changes."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, StorageState, expect

from tests.e2e.conftest import Errors, NewContext
from tests.e2e.steps import images_loaded

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


def test_a_picture_is_generated_watched_and_proved(owner_page: Page) -> None:
    page = owner_page
    _ask(page, "Evening")
    page.wait_for_url(re.compile(r"/artworks/[0-9a-f-]{36}/$"))
    preview = page.locator(".preview img")
    expect(preview).to_be_visible(timeout=A_GENERATION)
    first = preview.get_attribute("src")
    # Renewed over the socket, without a reload; and a reload goes on where it is.
    changed = "first => document.querySelector('.preview img')?.getAttribute('src') !== first"
    page.wait_for_function(changed, arg=first)
    page.reload()
    expect(page.get_by_role("link", name="Prove ownership")).to_be_visible(timeout=A_GENERATION)
    assert images_loaded(page, ".picture.artwork img") == [True]
    expect(page.get_by_text("Canonical", exact=True)).to_be_visible()
    recipe = page.locator("dl.facts .mono").first.inner_text()
    assert re.fullmatch("[0-9a-f]{64}", recipe)
    assert PROMPT not in page.content()
    assert Axe().run(page).response["violations"] == []
    artwork = page.url

    _prove(page, artwork, PROMPT)
    expect(page.get_by_role("heading", level=1)).to_have_text("Identical", timeout=A_GENERATION)
    expect(page.get_by_text("100 %", exact=True)).to_be_visible()

    _prove(page, artwork, "a green forest")
    expect(page.get_by_role("heading", level=1)).to_have_text("Different", timeout=A_GENERATION)
    expect(page.get_by_text("The prompt is not the one that the recipe commits to.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+\.\d\d dB$"))).to_be_visible()
    assert all(images_loaded(page, "main figure img"))
    assert page.locator("main svg[viewBox^='0 0 256']").count() >= 4
    assert Axe().run(page).response["violations"] == []

    page.goto(artwork)
    expect(page.get_by_role("row").filter(has_text="Identical")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="Different")).to_have_count(1)


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
    page.get_by_role("button", name="Generate both").click()
    expect(page.get_by_text(re.compile(r"\d+\.\d+ dB"))).to_be_visible(timeout=A_GENERATION)
    assert len(images_loaded(page, "main figure img")) >= 2
    assert all(images_loaded(page, "main figure img"))
