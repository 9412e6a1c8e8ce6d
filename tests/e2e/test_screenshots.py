"""Pictures of the pages. ``SCREENSHOTS=1`` (``make screenshots``) keeps them in docs/screenshots for the README."""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, StorageState, expect

from tests.e2e.conftest import NewContext
from tests.e2e.pictures import edited, payload
from tests.e2e.site import ROOT
from tests.e2e.steps import check

KEPT = os.environ.get("SCREENSHOTS") == "1"
# Paletted PNGs of 256 colours look the same and take a third.
LARGEST = 300_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go: to the README's folder only when they are asked for."""
    place = ROOT / "docs" / "screenshots" if KEPT else tmp_path
    place.mkdir(parents=True, exist_ok=True)
    return place


def _keep(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    data = page.screenshot(animations="disabled", caret="hide")
    with Image.open(BytesIO(data)) as picture:
        assert picture.width == page.viewport_size["width"]  # type: ignore[index]
        assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096) or ()) > 20, "an empty page"
        if len(data) > LARGEST:
            colours = picture.convert("RGB")
            palette = colours.quantize(256)
            colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
            if path.stat().st_size > LARGEST:
                palette.save(path, optimize=True)
        else:
            path.write_bytes(data)


def test_visitors_pages(new_context: NewContext, folder: Path) -> None:
    context = new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto("/")
    page.set_input_files("#files", [payload("found-online.png", edited("coffee"))])
    expect(page.locator(".drop-list li")).to_have_count(1)
    _keep(page, folder / "home.png")
    address = check(page, "found-online.png", edited("coffee"), verdict="Registered")
    _keep(page, folder / "check-result.png")
    state = context.storage_state()
    page.get_by_role("link", name="Lay one over the other").first.click()
    page.wait_for_url("**/compare/**")
    _keep(page, folder / "compare.png")
    page.goto("/api/docs/")
    expect(page.locator(".opblock").first).to_be_visible()
    _keep(page, folder / "api-docs.png")

    phone = new_context(viewport={"width": 390, "height": 844}, storage_state=state).new_page()
    phone.goto(address)
    _keep(phone, folder / "phone.png")
    dark = new_context(color_scheme="dark", storage_state=state).new_page()
    dark.goto(address)
    _keep(dark, folder / "dark.png")


def test_members_pages(page: Page, new_context: NewContext, owner_state: StorageState, folder: Path) -> None:
    for name in ("chelsea", "astronaut", "rocket", "picos", "sunset"):
        check(page, f"{name}-repost.png", edited(name), verdict="Registered")
    owner = new_context(viewport={"width": 1280, "height": 900}, storage_state=owner_state).new_page()
    owner.goto("/catalogues/")
    owner.get_by_role("link", name="Sample catalogue").click()
    expect(owner.locator(".thumb").first).to_be_visible()
    _keep(owner, folder / "catalogue.png")
    owner.goto("/reviews/?query=cat&state=all")
    owner.locator(".thumb a").first.click()
    expect(owner.get_by_role("heading", level=1)).to_have_text("Chelsea the cat")
    _keep(owner, folder / "review-queue.png")


def test_deep_hash(new_context: NewContext, owner_state: StorageState, folder: Path) -> None:
    """A catalogue chooses a hash, its pictures get their codes, and an edited copy of one is looked up."""
    page = new_context(viewport={"width": 1280, "height": 1500}, storage_state=owner_state).new_page()
    page.goto("/catalogues/")
    page.get_by_role("link", name="Sample catalogue").click()
    page.get_by_role("link", name="Deep hash").click()
    page.get_by_label("Con-VAE, 64 bits").check()
    page.get_by_role("button", name="Use this one").click()
    expect(page.get_by_text("31 of 36 pictures have their code")).to_be_visible(timeout=60_000)
    page.set_input_files("#picture", [payload("noisy.png", edited("sunset", "deephash_noise_10"))])
    page.get_by_role("button", name="Look it up").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("Sunset")
    expect(page.get_by_text("Reconstruction from 64 numbers")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    _keep(page, folder / "deep-hash.png")
    page.get_by_label("None", exact=True).check()
    page.get_by_role("button", name="Use this one").click()
    expect(page.get_by_text("uses no deep hash")).to_be_visible()


@pytest.mark.skipif(not KEPT, reason="a minute of generating for the README's pictures only: make screenshots")
def test_artworks(new_context: NewContext, owner_state: StorageState, folder: Path) -> None:
    """In the size that people get by default."""
    page = new_context(viewport={"width": 1280, "height": 1100}, storage_state=owner_state).new_page()
    wait = 400_000
    keys = {"name": "song.flac", "mimeType": "audio/flac", "buffer": b"a tune that nobody else has, 4711"}
    page.goto("/artworks/new/")
    page.get_by_role("textbox", name="Prompt").fill("a mountain with snow under a blue sky")
    page.set_input_files("input[name=signature]", [keys])  # type: ignore[list-item]
    page.get_by_role("textbox", name="Title").fill("Winter")
    page.check("input[name=preset][value=standard]")
    _keep(page, folder / "artwork-new.png")
    page.get_by_role("button", name="Generate and register").click()
    page.wait_for_url(re.compile(r"/artworks/[0-9a-f-]{36}/$"))
    expect(page.get_by_role("link", name="Prove ownership")).to_be_visible(timeout=wait)
    _keep(page, folder / "artwork.png")
    page.get_by_role("link", name="Prove ownership").click()
    page.get_by_role("textbox", name="Prompt").fill("a green forest with tall trees")
    page.set_input_files("input[name=signature]", [keys])  # type: ignore[list-item]
    page.get_by_role("button", name="Make it again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Different", timeout=wait)
    _keep(page, folder / "artwork-proof.png")
