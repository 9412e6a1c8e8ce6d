"""An owner downloads a picture signed, finds a post of it again by its signature, and tests a generator of pictures."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from provenance.watermark.record import Recipe
from provenance.watermark.sign import sign
from tests.e2e.pictures import payload
from tests.e2e.steps import complaints

A_WHILE = 60_000
SAMPLE = Path(__file__).parents[2] / "sample"


def _jpeg(data: bytes) -> bytes:
    """Return the picture mirrored, as somebody posts it."""
    buffer = io.BytesIO()
    mirrored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, ::-1]
    Image.fromarray(mirrored).save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def test_signing_checking_and_testing(owner_page: Page, tmp_path: Path) -> None:
    page = owner_page
    page.goto("/catalogues/")
    page.get_by_role("link", name="Sample catalogue").click()
    page.locator(".thumb a.title").first.click()
    page.get_by_role("link", name="Download original or signed").click()
    page.get_by_role("button", name="Make a signed copy").click()
    link = page.get_by_role("link", name="Download signed")
    expect(link).to_be_visible(timeout=A_WHILE)
    assert complaints(page, page.url, "light") == []
    with page.expect_download() as download:
        link.click()
    signed = Path(download.value.path()).read_bytes()
    assert Image.open(io.BytesIO(signed)).format == "PNG"

    page.goto("/check/")
    page.set_input_files("#files", [payload("post.jpg", _jpeg(signed))])
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Registered", timeout=A_WHILE)
    card = page.locator(".evidence", has=page.get_by_role("heading", name="Signature", exact=True))
    expect(card).to_contain_text("Points to a record")
    expect(card).to_contain_text("A signature is a pointer, not a proof.")
    expect(card).to_contain_text("mirrored")

    page.goto("/signatures/")
    page.get_by_role("link", name="New generator").click()
    page.get_by_role("textbox", name="Name of the generator").fill("Painter 1")
    page.get_by_role("button", name="Get a number").click()
    page.wait_for_url(re.compile(r"/signatures/[0-9a-f-]{36}/$"))
    assert complaints(page, page.url, "light") == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the recipe").click()
    recipe = Recipe.from_json(Path(download.value.path()).read_bytes())
    buffer = io.BytesIO()
    Image.fromarray(sign(np.asarray(Image.open(SAMPLE / "calla.jpg")), recipe.payload)).save(buffer, "PNG")
    made = FilePayload(name="made.png", mimeType="image/png", buffer=buffer.getvalue())
    page.set_input_files("#files", [made, payload("post.jpg", _jpeg(signed))])
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_text("The signature reads in 1 of 2.")).to_be_visible(timeout=A_WHILE)
    expect(page.get_by_role("row", name="post.jpg")).to_contain_text("Another signature")
    page.get_by_role("link", name="Painter 1").click()
    page.get_by_text("Revoke this signature").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Checks that read this signature say that it was revoked.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("In force", exact=True)).to_be_visible()
