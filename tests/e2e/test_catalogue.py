"""A copyright holder signs up, registers pictures, and finds, loses and brings back what is registered."""

from __future__ import annotations

import csv
import io
import re

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.e2e.conftest import Errors, NewContext
from tests.e2e.pictures import payload, png_of
from tests.e2e.site import Site
from tests.e2e.steps import check, images_loaded
from tests.webapp.pictures import pixels_of, zip_of

PASSWORD = "seven-quiet-harbours"
SEA, HILL = png_of(pixels_of(901, 320, 240)), png_of(pixels_of(902, 320, 240))


def _archive(name: str, members: dict[str, bytes]) -> FilePayload:
    return FilePayload(name=name, mimeType="application/zip", buffer=zip_of(members))


def _sign_up(page: Page, site: Site, address: str) -> None:
    page.goto("/accounts/signup/")
    page.fill("[name=email]", address)
    page.fill("[name=password1]", PASSWORD)
    page.fill("[name=password2]", PASSWORD)
    page.press("[name=password2]", "Enter")
    page.wait_for_url("**/confirm-email/")
    page.fill("[name=code]", _code(site, address))
    page.press("[name=code]", "Enter")
    page.wait_for_url("**/dashboard/")


def _code(site: Site, address: str) -> str:
    code = re.search(r"^[A-Z0-9]{3,}-?[A-Z0-9]{3,}$", site.mail_to(address), re.M)
    assert code
    return code[0]


def _send(page: Page, catalogue: str, *files: FilePayload, dry: bool = False) -> None:
    page.goto(f"{catalogue}upload/")
    page.set_input_files("#uploads", list(files))
    if dry:
        page.get_by_label("Dry run").check()
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/catalogues/imports/**")


def _row(page: Page, name: str) -> str:
    header = page.get_by_role("rowheader", name=re.compile(rf"^{re.escape(name)}\b"))
    return page.get_by_role("row").filter(has=header).inner_text()


def test_a_weak_password_and_a_wrong_code_are_refused(page: Page, site: Site) -> None:
    page.goto("/accounts/signup/")
    page.fill("[name=email]", "bob@archive.example")
    page.fill("[name=password1]", "12345678")
    page.fill("[name=password2]", "12345678")
    page.press("[name=password2]", "Enter")
    expect(page.locator(".errorlist").first).to_contain_text("password")
    page.fill("[name=password1]", PASSWORD)
    page.fill("[name=password2]", PASSWORD)
    page.press("[name=password2]", "Enter")
    page.wait_for_url("**/confirm-email/")
    page.fill("[name=code]", "WRONG1")
    page.press("[name=code]", "Enter")
    expect(page.locator(".errorlist").first).to_be_visible()
    page.fill("[name=code]", _code(site, "bob@archive.example"))
    page.press("[name=code]", "Enter")
    page.wait_for_url("**/dashboard/")


def test_from_signing_up_to_a_found_copy(page: Page, new_context: NewContext, site: Site) -> None:
    _sign_up(page, site, "ada@archive.example")
    page.get_by_role("link", name=re.compile("organisation", re.I)).first.click()
    page.get_by_label("name").fill("Harbour archive")
    page.get_by_role("main").locator("form button").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour archive")

    page.goto("/catalogues/")
    page.get_by_role("link", name="New catalogue").first.click()
    page.get_by_label("name", exact=False).first.fill("Coast")
    page.get_by_role("button", name="Make the catalogue").click()
    page.wait_for_url("**/upload/")
    catalogue = page.url.removesuffix("upload/")

    table = b"filename,title,creator\nsea.png,The sea at night,Ada Example\n"
    members = {
        "sea.png": SEA,
        "again.png": SEA,
        "hill.png": HILL,
        "letter.jpg": b"Dear Sir or Madam, " * 20,
        "../evil.png": SEA,
        "titles.csv": table,
    }
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    with site.worker_suspended():
        _send(page, catalogue, _archive("coast.zip", members), dry=True)
        expect(page.locator("[data-job-words]")).to_have_text("Waiting")
    expect(page.get_by_text("2 pictures would be registered.")).to_be_visible()
    assert frames
    assert "Would be registered" in _row(page, "sea.png")
    assert "Refused" in _row(page, "letter.jpg")
    page.goto("/catalogues/")
    expect(page.get_by_role("row").filter(has_text="Coast")).to_contain_text("0")
    page.go_back()

    page.get_by_role("button", name="Register them now").click()
    expect(page.get_by_text("The import is done.")).to_be_visible()
    assert "Registered" in _row(page, "sea.png")
    assert "Already registered" in _row(page, "again.png")
    assert "sea.png" in _row(page, "again.png") or "The sea at night" in _row(page, "again.png")
    assert "points outside the archive" in page.get_by_role("table").inner_text()
    page.get_by_role("link", name=re.compile(r"^Refused \(2\)")).click()
    expect(page.get_by_role("rowheader")).to_have_count(2)

    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    rows = {row["filename"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {"sea.png", "again.png", "hill.png", "letter.jpg"} <= rows.keys()

    page.goto(catalogue)
    expect(page.locator(".thumb")).to_have_count(2)
    page.locator(".thumb").last.scroll_into_view_if_needed()
    assert images_loaded(page, ".thumb img") == [True, True]

    visitor = new_context().new_page()
    check(visitor, "found.png", SEA, verdict="Registered")
    expect(visitor.locator(".verdict")).to_contain_text("Harbour archive")

    # Search.
    page.get_by_role("searchbox").fill("at night")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".thumb")).to_have_count(1)
    expect(page.locator(".thumb")).to_contain_text("Ada Example")
    page.get_by_role("searchbox").fill("nothing like it")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("No picture fits.")).to_be_visible()
    page.get_by_role("link", name="Show all").first.click()
    page.get_by_text("More filters").click()
    page.get_by_label("From").fill("2099-01-01")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No picture fits.")).to_be_visible()

    # Delete and undo.
    page.goto(catalogue)
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    page.get_by_label("Choose The sea at night").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".thumb")).to_have_count(1)
    check(visitor, "found.png", SEA, verdict="Not found here")
    page.get_by_role("button", name="Undo").first.click()
    page.goto(catalogue)
    expect(page.locator(".thumb")).to_have_count(2)
    check(visitor, "found.png", SEA, verdict="Registered")


@pytest.fixture
def demo(owner_page: Page) -> str:
    """The address of a catalogue of the demo organisation, made for one test."""
    owner_page.goto("/catalogues/new/")
    owner_page.get_by_label("name", exact=False).first.fill("Of one test")
    owner_page.get_by_role("button", name="Make the catalogue").click()
    owner_page.wait_for_url("**/upload/")
    return owner_page.url.removesuffix("upload/")


def test_what_is_no_archive_is_refused_and_the_page_stays(owner_page: Page, demo: str, errors: Errors) -> None:
    errors.expect("status of 4")
    try:
        broken = FilePayload(name="broken.zip", mimeType="application/zip", buffer=b"PK\x03\x04" + b"nothing" * 99)
        owner_page.set_input_files("#uploads", [broken])
        owner_page.get_by_role("button", name="Upload", exact=True).click()
        refusal = owner_page.locator("[data-upload-refusal]")
        expect(refusal).to_contain_text("broken.zip")
        expect(owner_page.get_by_role("button", name="Upload", exact=True)).to_be_enabled()
        files = [payload("sea.png", png_of(pixels_of(950))), payload("nothing.jpg", b"no picture at all")]
        _send(owner_page, demo, *files)
        expect(owner_page.get_by_text("The import is done.")).to_be_visible()
        assert "Registered" in _row(owner_page, "sea.png")
        assert "Refused" in _row(owner_page, "nothing.jpg")
    finally:
        owner_page.goto(f"{demo}edit/")
        owner_page.get_by_role("button", name="Delete the catalogue").click()
    expect(owner_page.get_by_role("button", name="Undo", exact=False).first).to_be_visible()


def test_a_waiting_import_is_cancelled(owner_page: Page, demo: str, site: Site) -> None:
    try:
        with site.worker_suspended():
            _send(owner_page, demo, payload("hill.png", png_of(pixels_of(951))))
            owner_page.get_by_role("button", name="Cancel").click()
            expect(owner_page.get_by_text("The import was cancelled.")).to_be_visible()
        owner_page.goto(demo)
        expect(owner_page.get_by_text("Nothing in this catalogue yet")).to_be_visible()
    finally:
        owner_page.goto(f"{demo}edit/")
        owner_page.get_by_role("button", name="Delete the catalogue").click()


def test_other_peoples_catalogues_are_not_there(page: Page, owner_page: Page, site: Site, errors: Errors) -> None:
    errors.expect("status of 404")
    owner_page.goto("/catalogues/")
    owner_page.get_by_role("rowheader").first.get_by_role("link").click()
    owner_page.wait_for_url(re.compile(r"/catalogues/[0-9a-f-]{36}/$"))
    page.goto(owner_page.url)
    assert "/accounts/login/" in page.url
    _sign_up(page, site, "eve@other.example")
    answer = page.goto(owner_page.url)
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_be_visible()
