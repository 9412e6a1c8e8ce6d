"""The compare view, by keyboard and with the mouse."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Errors
from tests.e2e.pictures import edited
from tests.e2e.steps import check, images_loaded


def test_slider_overlay_and_difference(page: Page) -> None:
    check(page, "holiday.png", edited("astronaut"), verdict="Registered")
    page.get_by_role("link", name="Lay one over the other").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("“Eileen Collins”")
    page.locator(".side-by-side img").last.scroll_into_view_if_needed()
    assert images_loaded(page, "main img") == [True] * 5
    upper = page.locator(".compare-stage .upper")
    sizes = page.locator(".compare-stage img").evaluate_all(
        "(images) => images.map((image) => [image.clientWidth, image.clientHeight])"
    )
    assert sizes[0] == sizes[1]

    def clip() -> str:
        return str(upper.evaluate("(image) => getComputedStyle(image).clipPath"))

    slider = page.get_by_label("Position of the divider")
    half = clip()
    assert half.startswith("inset(")
    slider.focus()
    page.keyboard.press("ArrowRight")
    further = clip()
    assert further != half
    page.keyboard.press("Home")
    assert clip() not in (half, further)

    stage = page.locator(".compare-stage")
    width = int(stage.evaluate("(stage) => stage.clientWidth"))
    stage.click(position={"x": width * 0.75, "y": 200})
    assert abs(int(slider.input_value()) - 75) <= 1

    page.get_by_role("button", name="Overlay").press("Enter")
    strength = page.get_by_label("Strength of your picture")
    strength.focus()
    page.keyboard.press("Home")
    assert upper.evaluate("(image) => getComputedStyle(image).opacity") == "0"
    page.keyboard.press("End")
    assert upper.evaluate("(image) => getComputedStyle(image).opacity") == "1"
    assert clip() == "none"

    difference = page.get_by_role("button", name="Difference")
    difference.press("Enter")
    expect(difference).to_have_attribute("aria-pressed", "true")
    expect(strength).to_be_hidden()
    assert "difference" in str(upper.get_attribute("src"))
    assert images_loaded(page, ".compare-stage .upper") == [True]
    assert upper.evaluate("(image) => getComputedStyle(image).opacity") == "1"

    page.locator("[data-mode-choice=side]").press("Enter")
    lower, beside = (image.bounding_box() for image in page.locator(".compare-stage img").all())
    assert lower is not None
    assert beside is not None
    assert lower["x"] + lower["width"] <= beside["x"] + 1 or beside["x"] + beside["width"] <= lower["x"] + 1
    assert images_loaded(page, ".compare-stage img") == [True, True]


def test_what_is_not_there_to_compare_is_not_found(page: Page, errors: Errors) -> None:
    errors.expect("status of 404")
    address = check(page, "holiday.png", edited("astronaut"), verdict="Registered")
    answer = page.goto(f"{address}compare/999/")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_be_visible()
