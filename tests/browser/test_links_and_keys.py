"""Links, back and forward, and keys: what is seen is in the link, and everything is reached without a mouse."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import visit
from tests.browser.generated_map import WINDOW

pytestmark = pytest.mark.browser


def test_link_shows_a_colleague_the_same_view(clusters: dict[str, str], page: Page) -> None:
    """View, choice, filters, window, arrangement and the place on the stage are in the address."""
    visit(page, clusters["middle"])
    page.click(".group[data-id='namespace/chat']")
    page.hover("#view-overview .stage", position={"x": 20, "y": 20})
    page.mouse.wheel(0, -300)
    expect(page).to_have_url(re.compile("at="))
    transform = (
        "document.querySelector('#view-overview .layer:last-child').style.transform.match(/[-0-9.]+/g).map(Number)"
    )
    before = page.evaluate(transform)
    link = page.url
    assert f"window={WINDOW.replace(':', '%3A')}" in link
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector(".place")
    assert page.evaluate(transform) == pytest.approx(before, abs=2)


def test_back_and_forward_lead_through_what_was_seen(clusters: dict[str, str], page: Page) -> None:
    """The browser's own buttons undo and redo each step."""
    visit(page, clusters["middle"])
    page.click("[data-view=table]")
    page.click("[data-view=coverage]")
    page.go_back()
    expect(page.locator("#view-table")).to_be_visible()
    page.go_back()
    expect(page.locator("#view-overview")).to_be_visible()
    page.go_forward()
    expect(page.locator("#view-table")).to_be_visible()


def test_everything_is_reached_by_keyboard(clusters: dict[str, str], page: Page) -> None:
    """Tab leads from the search over views and filters to boxes; Enter opens and focuses; Escape closes the panel."""
    visit(page, clusters["small"])
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "find", "recall", "link", "namespace", "kind", "port", "stage"} <= set(reached)
    assert any("place" in name for name in reached)
    page.focus(".place")
    page.keyboard.press("Enter")
    expect(page.locator("#close")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#close")).to_be_hidden()
