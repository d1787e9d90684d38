"""Groups that a user chooses: the values of a label in place of namespaces, in every view and in the link."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, overlapping, shoot, visit
from tests.browser.generated_map import generate_map
from tests.browser.page_server import serving_page
from tests.browser.test_views import CUT, NAMES, RECTS, SMALLEST
from tests.manager.conftest import Running

pytestmark = pytest.mark.browser

PLACES = "boxes => boxes.map(box => box.dataset.id)"


def by_team(size: str) -> dict[str | None, list[dict[str, Any]]]:
    """Services and workloads of the generated map by their team; None: without one."""
    found: dict[str | None, list[dict[str, Any]]] = {}
    for one in generate_map(*SIZES[size])["services"]:
        if one["namespace"]:
            found.setdefault(one["labels"].get("team"), []).append(one)
    return found


@pytest.mark.parametrize("size", ["middle", "large"])
def test_label_makes_an_area_per_value_and_one_for_what_has_none(
    clusters: dict[str, str], page: Page, size: str
) -> None:
    """The choice is in the link; each team is a box with its number of services, the rest is shown as ungrouped."""
    visit(page, clusters[size])
    page.select_option("#group", "team")
    assert "group=team" in page.url
    boxes = page.locator("#view-overview .group")
    wanted = by_team(size)
    outside = {"Outside the cluster", "Unresolved addresses"}
    assert set(boxes.evaluate_all(NAMES)) - outside == {name or "Without team" for name in wanted}
    for team, services in wanted.items():
        box = page.locator(".group.Ungrouped" if team is None else f".group[data-id='label/{team}']")
        expect(box).to_contain_text(f"{len(services)} service")
    assert overlapping(boxes.evaluate_all(RECTS)) == 0
    assert boxes.evaluate_all(CUT) == []
    assert boxes.evaluate_all(SMALLEST) >= 9
    shoot(page, f"groups-{size}")


def test_group_opens_to_services_of_all_its_namespaces(clusters: dict[str, str], page: Page) -> None:
    """With every group open each service stands in the area of its team and names its namespace; nothing overlaps."""
    visit(page, clusters["large"], group="team", open="label/chat")
    wanted = {one["id"] for one in by_team("large")["chat"]}
    assert len({name.split("/")[1] for name in wanted}) > 1
    assert set(page.eval_on_selector_all("#view-overview .place", PLACES)) == wanted
    shoot(page, "groups-open-large")
    visit(page, clusters["middle"], group="team", open="*")
    both = page.locator("#view-overview .place, #view-overview .area-head")
    assert overlapping(both.evaluate_all(RECTS)) == 0
    assert both.evaluate_all(CUT) == []
    place = page.locator("[data-id='service/checkout/checkout-api'] .space")
    expect(place).to_have_text("checkout")
    shoot(page, "groups-open")


@pytest.mark.parametrize("team", ["chat", None])
def test_filter_of_a_group_holds_in_every_view(clusters: dict[str, str], page: Page, team: str | None) -> None:
    """Only edges that touch the group remain, for a value as for what has none; clearing brings all back."""
    visit(page, clusters["middle"], view="table", group="team")
    page.select_option("#area", "ungrouped" if team is None else f"label/{team}")
    inside = {one["id"] for one in by_team("middle")[team]}
    edges = [one for one in generate_map(*SIZES["middle"])["edges"] if {one["source"], one["destination"]} & inside]
    expect(page.locator("#edges tbody tr")).to_have_count(len(edges))
    page.click("[data-view=matrix]")
    cells = len({(one["source"], one["destination"]) for one in edges})
    expect(page.locator("#view-matrix .note")).to_contain_text(f"{cells} cell")
    page.click("[data-view=overview]")
    expect(page.locator("#shown")).to_contain_text(f"{len(edges)} of 550 edges")
    page.click("#unfilter")
    expect(page.locator("#shown")).to_have_text("212 services and addresses, 550 edges")
    assert "group=team" in page.url


def test_group_is_found_by_search_and_left_by_one_choice(clusters: dict[str, str], page: Page) -> None:
    """Search opens a team; the label of a service's panel groups by it; `namespace` is the way back."""
    visit(page, clusters["middle"], select="service/chat/chat-api")
    page.locator("#detail li", has_text="team").get_by_role("button").click()
    assert page.input_value("#group") == "team"
    page.keyboard.press("/")
    page.keyboard.type("chat")
    page.locator("#found li", has_text="team").first.click()
    expect(page.locator("#panel h2")).to_have_text("team: chat")
    assert "open=label%2Fchat" in page.url
    page.select_option("#group", "")
    expect(page.locator(".group[data-id='namespace/chat']")).to_be_visible()
    expect(page.locator("#area")).to_be_hidden()
    page.go_back()
    expect(page.locator("#area")).to_be_visible()
    expect(page.locator(".area-head[data-id='label/chat']")).to_be_visible()


def test_labels_of_pods_group_the_services_of_a_manager(manager: Running, page: Page) -> None:
    """What a collector pushed: pods with a label, and Services behind which they are."""
    visit(page, manager.url, manager.key, group="app", open="*")
    heads = page.eval_on_selector_all("#view-overview .area-head", NAMES)
    assert set(heads) == {"cart", "db", "frontend", "load", "Outside the cluster"}
    visit(page, manager.url, manager.key, group="constructor")
    expect(page.locator(".area.Ungrouped, .group.Ungrouped")).to_have_count(1)


@pytest.mark.parametrize("value", ["<img src=x onerror=alert(1)>", "a,b>c|d", "", "constructor", "100%"])
def test_value_of_a_label_is_text_and_opens_its_own_group(page: Page, value: str) -> None:
    """Markup and separators of the link are shown as they are; the group opens and filters by exactly that value."""
    found = generate_map(*SIZES["small"])
    inside = [one for one in found["services"] if one["namespace"]][:3]
    for one in inside:
        one["labels"] = {value or "team": value}
    label = value or "team"
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    with serving_page([found]) as url:
        visit(page, url)
        page.select_option("#group", label)
        name = value or "team is empty"
        head = page.locator(".area-head", has_text=name).first
        expect(head).to_be_visible()
        expect(page.locator(".area.Label")).to_have_count(1)
        page.click("text=Close all")
        page.locator(".group.Label").click()
        assert set(page.eval_on_selector_all("#view-overview .place", PLACES)) == {one["id"] for one in inside}
        page.select_option("#area", label=name)
        expect(page.locator("#shown")).to_contain_text("of 22 edges")
        link = page.url
        page.goto("about:blank")
        page.goto(link)
        page.wait_for_selector("#view-overview .place")
        assert {one["id"] for one in inside} <= set(page.eval_on_selector_all("#view-overview .place", PLACES))
        assert page.locator("main img").count() == 0
