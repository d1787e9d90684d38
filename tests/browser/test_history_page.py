"""What the page shows of many windows: when an edge was seen, why it is there, what is new, what absence means."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, shoot, visit
from tests.browser.generated_map import WINDOW, changed_map, generate_map
from tests.browser.page_server import serving_page

pytestmark = pytest.mark.browser

NEWER = generate_map(*SIZES["small"])
EDGE = NEWER["edges"][5]
EDGE_ID = f"edge:{EDGE['source']}|{EDGE['destination']}|{EDGE['port']}|{EDGE['type']}"


def test_edge_has_its_history_and_its_explanation(clusters: dict[str, str], page: Page) -> None:
    """First and last seen, a bar per window, and one click for the explanation."""
    visit(page, clusters["small"], view="table", select=EDGE_ID.replace("|", "%7C"))
    history = page.locator("[data-part=history][data-done]")
    expect(history).to_be_visible()
    assert "First seen" in history.inner_text()
    assert history.locator("svg.spark rect").count() == 2
    page.click("[data-action=explain]")
    expect(page.locator("[data-part=explanation]")).to_contain_text("Seen.")


@pytest.mark.parametrize("size", list(SIZES))
def test_strip_knows_every_window_by_one_answer(clusters: dict[str, str], page: Page, size: str) -> None:
    """Totals of windows whose maps were never read, at any size."""
    visit(page, clusters[size])
    page.wait_for_selector("body[data-totals]")
    titles = page.eval_on_selector_all("#strip .bar", "bars => bars.map(bar => bar.title)")
    assert len(titles) == 2
    assert all("attempts" in title and "recall 99" in title for title in titles)


def test_window_on_order_says_what_it_was_for(page: Page) -> None:
    """In words where the pointer or a screen reader is, and by its outline; a run's name is text."""
    ordered = changed_map(NEWER, 1, 0, 0)
    ordered["window"] = ordered["window"] | {"purpose": {"run": "<b>cart-1", "kind": "fault"}}
    with serving_page([NEWER, ordered]) as url:
        visit(page, url)
        page.wait_for_selector("body[data-totals]")
        bar = page.locator("#strip .bar.ordered")
        expect(bar).to_have_count(1)
        expect(bar).to_have_attribute("aria-label", re.compile(r"ordered for run <b>cart-1 \(fault\)"))


def test_new_since_leaves_the_edges_that_no_window_before_had(clusters: dict[str, str], page: Page) -> None:
    """As many as are new, in the table and in the link."""
    visit(page, clusters["small"], view="table")
    page.select_option("#since", "24h")
    expect(page.locator("#edges tbody tr")).to_have_count(3)
    assert "since=24h" in page.url
    page.click("#unfilter")
    expect(page.locator("#edges tbody tr")).to_have_count(len(NEWER["edges"]))


def test_empty_cell_says_whether_it_was_observed(page: Page) -> None:
    """By keys to two cells: one of a node that was not observed, one that would have been seen."""
    found = generate_map(*SIZES["small"])
    whole = {"observed": "whole", "reason": None, "start": None, "end": None}
    found["coverage"] = {"node-a": whole, "node-b": whole | {"observed": "none", "reason": "no_report"}}
    found["observation"] = {"node-a": {"attempts": 1, "lost": {}}}
    for place, one in enumerate(found["services"]):
        one["nodes"] = ["node-b"] if place == 0 else ["node-a"]
    blind = found["services"][0]["name"]
    notes = []
    with serving_page([found, changed_map(found, 1, 0, 0)]) as url:
        visit(page, url, view="matrix")
        assert "shaded: not observed" in page.locator("#view-matrix .note").inner_text()
        page.focus("#view-matrix .stage")
        size = len(found["services"])
        page.keyboard.press("ArrowDown")
        for row in range(size):
            for column in range(size):
                notes.append(page.locator("#view-matrix .note").inner_text())
                page.keyboard.press("ArrowRight" if column < size - 1 else "ArrowDown")
            for _ in range(size - 1 if row < size - 1 else 0):
                page.keyboard.press("ArrowLeft")
        shoot(page, "matrix-absence")
    empty = [note for note in notes if "attempt" not in note]
    assert empty
    for note in empty:
        ends = note.partition(": ")[0].split(" → ")
        of_blind = any(end.rpartition("/")[2] == blind for end in ends)
        assert ("not observed: node node-b was not observed" in note) is of_blind, note
        assert ("not seen, and would have been" in note) is not of_blind, note


def test_pair_without_an_edge_is_explained(clusters: dict[str, str], page: Page) -> None:
    """A cell without connects opens the panel with what that means."""
    pairs = {(one["source"], one["destination"]) for one in NEWER["edges"]}
    ids = [one["id"] for one in NEWER["services"] if one["kind"] == "Service"]
    source, destination = next((a, b) for a in ids for b in ids if a != b and (a, b) not in pairs)
    visit(page, clusters["small"], view="matrix", select=f"pair:{source}>{destination}")
    panel = page.locator("#detail")
    expect(panel).to_contain_text("Not")
    panel.locator("[data-action=explain]").click()
    expect(panel.locator("[data-part=explanation] .verdict")).to_be_visible()


# The five questions of docs/map.md: each step is one action of a person.
@pytest.mark.parametrize("size", ["small", "large"])
def test_five_questions_take_at_most_three_actions_each(clusters: dict[str, str], page: Page, size: str) -> None:
    """Search is one action; clicks and choices are one each."""
    found = generate_map(*SIZES[size])
    failing = next(
        edge for edge in found["edges"] if edge["failed"] and edge["source"].startswith(("service/", "deployment/"))
    )
    place = next(one for one in found["services"] if one["id"] == failing["source"])
    reached = {edge["destination"] for edge in found["edges"]}
    unresolved = [one["name"] for one in found["services"] if one["kind"] == "Unresolved" and one["id"] in reached]
    detail = page.locator("#detail")

    def search(text: str) -> int:
        page.keyboard.press("/")
        page.fill("#find", text)
        page.wait_for_selector("#found li")
        page.keyboard.press("Enter")
        return 1

    def fresh() -> None:
        visit(page, clusters[size])

    taken = {}
    fresh()
    taken["who calls me, whom do I call"] = search(f"{place['namespace']}/{place['name']}")
    expect(detail).to_contain_text("Connects to")
    taken["my fault or my dependency's"] = taken["who calls me, whom do I call"]
    expect(detail.locator(".verdict").first).to_contain_text("fail")
    page.get_by_role("button", name="Blast radius").first.click()
    taken["whom does it hit"] = taken["who calls me, whom do I call"] + 1
    assert "mode=blast" in page.url
    fresh()
    if unresolved:
        taken["why unresolved"] = search(unresolved[0])
        expect(detail).to_contain_text("Why it is not attributed")
    else:
        page.click("[data-view=coverage]")
        taken["why unresolved"] = 1
        expect(page.locator("#view-coverage")).to_contain_text("nresolved")
    fresh()
    page.select_option("#since", "24h")
    taken["what changed"] = 1
    expect(page.locator("#shown")).to_contain_text("3 of")
    print(f"{size}: {taken}")  # noqa: T201 - the numbers of docs/map.md
    assert max(taken.values()) <= 3
    assert found["window"]["id"] == WINDOW
