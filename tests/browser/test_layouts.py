"""The benchmark of layouts: at 13, 200 and 2,000 services nothing lies on anything, and names are read."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SIZES, visit
from tests.browser.generated_map import generate_map
from tests.browser.layouts import CASES, IDENTITY, Case, read_drawing

pytestmark = pytest.mark.browser

ON_TOP = """view => { const boxes = document.querySelectorAll(`#view-${view} .place`);
    boxes[1].style.left = boxes[0].style.left; boxes[1].style.top = boxes[0].style.top; }"""
LONGER = """view => {
    document.querySelector(`#view-${view} .place .name`).textContent = 'a-name-without-end-'.repeat(9); }"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.size}: {case.name}")
def test_nothing_lies_on_anything_and_names_are_read(clusters: dict[str, str], page: Page, case: Case) -> None:
    """No two nodes and no two labels have a common area, no name leaves its box, letters have 9 pixels at least."""
    visit(page, clusters[case.size], **case.state)
    drawing = read_drawing(page, case.state["view"])
    assert drawing.readable, drawing._replace(ids=[])


def test_every_one_of_200_services_is_named_in_both_views(clusters: dict[str, str], page: Page) -> None:
    """The open overview has a box for each; in focus, each caller of what all use has one."""
    found = generate_map(*SIZES["middle"])
    visit(page, clusters["middle"], open="*")
    assert sorted(read_drawing(page, "overview").ids) == sorted(one["id"] for one in found["services"])
    callers = {edge["source"] for edge in found["edges"] if edge["destination"] == IDENTITY} - {IDENTITY}
    visit(page, clusters["middle"], view="focus", focus=IDENTITY, more="1")
    assert callers <= set(read_drawing(page, "focus").ids)


@pytest.mark.parametrize("spoil", [ON_TOP, LONGER], ids=["one box on another", "a name longer than its box"])
def test_benchmark_finds_what_is_spoilt(clusters: dict[str, str], page: Page, spoil: str) -> None:
    """The same counts on a drawing in which one box was moved, or one name made longer, are not readable."""
    visit(page, clusters["small"])
    assert read_drawing(page, "overview").readable
    page.evaluate(spoil, "overview")
    assert not read_drawing(page, "overview").readable
