"""Each view of the page over clusters of 13, 200 and 2,000 services: names, overlaps, filters, keys, links."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, overlapping, shoot, visit
from tests.browser.generated_map import EARLIER, generate_map

pytestmark = pytest.mark.browser

ALL_SIZES = list(SIZES)
RECTS = """boxes => boxes.map(box => { const {left, top, right, bottom} = box.getBoundingClientRect();
    return [left, top, right, bottom]; })"""
# Names that do not end within their box, on any side.
CUT = """boxes => boxes.filter(box => { const own = box.getBoundingClientRect();
    return [...box.children].some(part => { const range = document.createRange(); range.selectNodeContents(part);
        const {left, top, right, bottom} = range.getBoundingClientRect();
        return left < own.left - 1 || right > own.right + 1 || top < own.top - 1 || bottom > own.bottom + 1; });
    }).map(box => box.textContent)"""
NAMES = "boxes => boxes.map(box => box.querySelector('.name').textContent)"
SMALLEST = """boxes => Math.min(...boxes.map(box => { const name = box.querySelector('.name');
    return parseFloat(getComputedStyle(name).fontSize) * box.getBoundingClientRect().width / box.offsetWidth; }))"""
# Lines that run below a box which is neither of their ends, by the page's own modules.
BELOW = """async ([open, width, height]) => {
    const module = (name) => import(`/page/${name}.js`);
    const [{makeModel, joinEdges}, {layoutOverview, linesFor}, {pointsAlong}] =
        await Promise.all(['map_model', 'overview_layout', 'routes'].map(module));
    const model = makeModel(await (await fetch('/api/v1/agents/lab/map?window=latest')).json());
    const groups = [...model.groups.values()];
    const opened = new Set(open ? groups.map(group => group.id) : []);
    const layout = layoutOverview(groups, opened, model.edges, {width, height});
    const pairs = joinEdges(model.edges, one => opened.has(one.group) ? one.id : one.group);
    for (const pair of pairs) {
        const {from, to} = pair.edges[0];
        Object.assign(pair, {fromGroup: from.group, toGroup: to.group});
    }
    const boxes = [...layout.boxes].filter(([id]) => !opened.has(id));
    const below = [];
    const lines = linesFor(layout, pairs);
    for (const {edge, path} of lines) for (const [x, y] of pointsAlong(path, 24)) for (const [id, box] of boxes) {
        if (id === edge.from || id === edge.to) continue;
        const within = x > box.x + 2 && x < box.x + box.w - 2 && y > box.y + 2 && y < box.y + box.h - 2;
        if (within) below.push(edge.id + ' ' + id);
    }
    return [lines.length, [...new Set(below)]]; }"""
IDENTITY = "service/identity/identity-api"


def made(size: str) -> dict[str, Any]:
    """The generated map of a size."""
    return generate_map(*SIZES[size])


@pytest.mark.parametrize("size", ALL_SIZES)
def test_overview_names_everything_it_draws_and_nothing_overlaps(
    clusters: dict[str, str], page: Page, size: str
) -> None:
    """Groups are named in full, in letters that are read, and no box lies on another."""
    visit(page, clusters[size])
    boxes = page.locator("#view-overview .group, #view-overview .place")
    assert overlapping(boxes.evaluate_all(RECTS)) == 0
    assert boxes.evaluate_all(CUT) == []
    assert boxes.evaluate_all(SMALLEST) >= 9
    spaces = {one["namespace"] for one in made(size)["services"]} - {""}
    named = page.eval_on_selector_all("#view-overview .group, #view-overview .area-head", NAMES)
    assert spaces <= set(named)
    assert int(page.evaluate("document.body.dataset.lines")) <= 80
    shoot(page, f"overview-{size}")


def test_overview_with_all_open_names_each_of_200_services(clusters: dict[str, str], page: Page) -> None:
    """Every service of every namespace has its own box with its whole name."""
    visit(page, clusters["middle"], open="*")
    boxes = page.locator("#view-overview .place")
    assert sorted(boxes.evaluate_all(NAMES)) == sorted(one["name"] for one in made("middle")["services"])
    both = page.locator("#view-overview .place, #view-overview .area-head")
    assert overlapping(both.evaluate_all(RECTS)) == 0
    assert overlapping(page.locator("#view-overview .area").evaluate_all(RECTS)) == 0
    assert both.evaluate_all(CUT) == []
    assert boxes.evaluate_all(SMALLEST) >= 9
    shoot(page, "overview-open")


@pytest.mark.parametrize(("size", "opened"), [("small", True), ("middle", False), ("middle", True), ("large", False)])
def test_no_line_runs_below_a_box_that_is_not_its_own(
    clusters: dict[str, str], page: Page, size: str, opened: bool
) -> None:
    """Each line, of all that could be drawn, takes the gaps between boxes."""
    visit(page, clusters[size], view="coverage")
    lines, below = page.evaluate(BELOW, [opened, 944, 600])
    assert lines > 0
    assert below == []


def test_namespace_opens_by_click_and_closes_again(clusters: dict[str, str], page: Page) -> None:
    """A click on a namespace shows its services; the link says so; another click closes it."""
    visit(page, clusters["middle"])
    page.click(".group[data-id='namespace/chat']")
    chat = {one["id"] for one in made("middle")["services"] if one["namespace"] == "chat"}
    assert set(page.eval_on_selector_all(".place", "boxes => boxes.map(box => box.dataset.id)")) == chat
    assert "open=namespace%2Fchat" in page.url
    page.click(".area-head[data-id='namespace/chat']")
    assert page.locator("#view-overview .place").count() == 0


@pytest.mark.parametrize("size", ["middle", "large"])
@pytest.mark.parametrize("hops", ["1", "2", "3", "4"])
def test_focus_shows_callers_before_and_dependencies_after(
    clusters: dict[str, str], page: Page, size: str, hops: str
) -> None:
    """All direct callers and dependencies are shown or counted, failed ones first, and no box lies on another."""
    visit(page, clusters[size], view="focus", focus=IDENTITY, hops=hops)
    boxes = page.locator("#view-focus .stage .place")
    assert overlapping(boxes.evaluate_all(RECTS)) == 0
    assert boxes.evaluate_all(CUT) == []
    assert page.locator("#view-focus .stage .place:has(.name)").evaluate_all(SMALLEST) >= 9
    callers = {edge["source"] for edge in made(size)["edges"] if edge["destination"] == IDENTITY} - {IDENTITY}
    shown = page.eval_on_selector_all("[data-key^='caller1:']", "boxes => boxes.map(box => box.dataset.id)")
    failing = page.eval_on_selector_all("[data-key^='caller1:']", "boxes => boxes.map(box => +box.matches('.failing'))")
    assert set(shown) <= callers
    assert failing == sorted(failing, reverse=True)
    assert len(shown) == min(12, len(callers))
    expect(page.locator(".layer-head.caller").last).to_have_text(f"{len(callers)} callers")
    shoot(page, f"focus-{size}-{hops}")


def test_focus_shows_all_of_a_layer_on_demand(clusters: dict[str, str], page: Page) -> None:
    """The box `more` leads to every caller."""
    callers = {edge["source"] for edge in made("large")["edges"] if edge["destination"] == IDENTITY} - {IDENTITY}
    visit(page, clusters["large"], view="focus", focus=IDENTITY, more="1")
    shown = page.eval_on_selector_all("[data-key^='caller1:']", "boxes => boxes.map(box => box.dataset.id)")
    assert set(shown) == callers


def reaching(edges: list[dict[str, Any]], goal: str) -> set[str]:
    """Everything from which edges lead to `goal`."""
    found, todo = {goal}, [goal]
    while todo:
        place = todo.pop()
        new = {edge["source"] for edge in edges if edge["destination"] == place} - found
        found |= new
        todo.extend(new)
    return found - {goal}


def test_blast_radius_counts_everything_that_reaches_the_service(clusters: dict[str, str], page: Page) -> None:
    """Direct and indirect callers, each once."""
    goal = "service/reporting/reporting-api"
    visit(page, clusters["middle"], view="focus", focus=goal)
    page.click("text=Blast radius >> nth=0")
    wanted = reaching(made("middle")["edges"], goal)
    expect(page.locator("#view-focus .note")).to_contain_text(f"{len(wanted)} services in")
    assert page.locator("[data-key^='dependency']").count() == 0
    shoot(page, "blast-radius")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("checkout-api", "focus=service%2Fcheckout%2Fcheckout-api"),
        ("checkout-api-app", "focus=service%2Fcheckout%2Fcheckout-api"),
        ("checkout-api-5c4b1", "focus=service%2Fcheckout%2Fcheckout-api"),
        ("203.0.113.7", "focus=external%2F203.0.113.7"),
        (":6379", "port=6379"),
        ("kube-system", "open=namespace%2Fkube-system"),
    ],
)
def test_one_box_finds_everything_by_keyboard(clusters: dict[str, str], page: Page, typed: str, expected: str) -> None:
    """`/`, some letters and Enter lead to a service, workload, pod, address, port or namespace."""
    visit(page, clusters["middle"])
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    assert expected in page.url


FILTERS = [
    ({"namespace": "chat"}, lambda e, _: "/chat/" in e["source"] or "/chat/" in e["destination"]),
    ({"port": "6379"}, lambda e, _: e["port"] == "6379"),
    ({"only": "failed"}, lambda e, _: e["failed"] > 0),
    ({"only": "external"}, lambda e, k: k[e["destination"]] == "External"),
    ({"only": "failed,external"}, lambda e, k: e["failed"] > 0 and k[e["destination"]] == "External"),
    ({"kind": "Workload"}, lambda e, k: "Workload" in {k[e["source"]], k[e["destination"]]}),
]


@pytest.mark.parametrize(("state", "passes"), FILTERS)
def test_filters_of_the_link_hold_in_every_view(
    clusters: dict[str, str], page: Page, state: dict[str, str], passes: Any
) -> None:
    """The table has exactly the edges that pass; the other views draw no others."""
    found = made("middle")
    kinds = {one["id"]: one["kind"] for one in found["services"]}
    wanted = [one for one in found["edges"] if passes(one, kinds)]
    visit(page, clusters["middle"], view="table", **state)
    rows = "rows => rows.map(row => [row.dataset.source, row.dataset.destination, row.dataset.port])"
    shown = page.eval_on_selector_all("#edges tbody tr", rows)
    assert shown == [[one["source"], one["destination"], one["port"]] for one in wanted]
    expect(page.locator("#shown")).to_contain_text(f"{len(wanted)} of 550 edges")
    page.click("[data-view=matrix]")
    cells = len({(one["source"], one["destination"]) for one in wanted})
    expect(page.locator("#view-matrix .note")).to_contain_text(f"{cells} cell")
    page.click("[data-view=overview]")
    assert overlapping(page.locator("#view-overview .group, #view-overview .place").evaluate_all(RECTS)) == 0
    page.click("#unfilter")
    expect(page.locator("#shown")).to_have_text("212 services and addresses, 550 edges")


def test_table_sorts_by_every_column_and_shows_all_rows_in_portions(clusters: dict[str, str], page: Page) -> None:
    """A click sorts, another one turns round; rows beyond the first 500 come on demand."""
    visit(page, clusters["large"], view="table")
    assert page.locator("#edges tbody tr").count() == 501
    page.click("#edges th button:has-text('Attempts')")
    most = sorted((one["attempts"] for one in made("large")["edges"]), reverse=True)
    cells = "rows => rows.slice(0, 500).map(row => Number(row.children[3].textContent.replaceAll(',', '')))"
    assert page.eval_on_selector_all("#edges tbody tr", cells) == most[:500]
    page.click("#edges th button:has-text('Attempts')")
    assert page.eval_on_selector_all("#edges tbody tr", cells) == most[::-1][:500]
    page.click("#edges tr.more button")
    assert page.locator("#edges tbody tr").count() == 1001


def test_matrix_goes_from_cell_to_cell_by_keyboard(clusters: dict[str, str], page: Page) -> None:
    """Arrow keys name each pair; what an empty cell means is stated."""
    visit(page, clusters["middle"], view="matrix")
    expect(page.locator("#view-matrix .note")).to_contain_text("not observed")
    page.focus("#view-matrix .stage")
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#view-matrix .note")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#view-matrix .note") != first
    assert "→" in first
    shoot(page, "matrix-middle")


def test_comparison_finds_exactly_what_differs(clusters: dict[str, str], page: Page) -> None:
    """Of two windows that differ by 3 added, 2 removed and 4 changed edges, these are listed and coloured."""
    visit(page, clusters["middle"])
    page.click("#compare")
    page.click(f".bar[data-window='{EARLIER}']")
    expect(page.locator("#panel h2")).to_have_text("What changed")
    page.click("[data-only=changed]")
    page.click("[data-view=table]")
    changes = page.eval_on_selector_all("#edges td.change", "cells => cells.map(cell => cell.textContent)")
    wanted = made("middle")
    assert (changes.count("added"), changes.count("removed"), changes.count("changed")) == (3, 2, 4)
    added = {edge["source"] for edge in wanted["edges"][:3]}
    assert set(page.eval_on_selector_all("#edges tr.added", "rows => rows.map(row => row.dataset.source)")) == added
    page.click("[data-view=overview]")
    shoot(page, "comparison")
    page.click("#compare")
    expect(page.locator("#panel h2")).to_have_text("This window")


@pytest.mark.parametrize("view", ["overview", "focus", "matrix", "table", "coverage"])
@pytest.mark.parametrize("size", ALL_SIZES)
def test_phone_shows_every_view_without_scrolling_sideways(
    clusters: dict[str, str], phone: Page, size: str, view: str
) -> None:
    """At 390 pixels the page is as wide as the screen; boxes do not overlap and names are whole."""
    state = {"focus": IDENTITY} if view == "focus" else {}
    visit(phone, clusters[size], view=view, **state)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = phone.locator(f"#view-{view} .stage .group, #view-{view} .stage .place")
    assert overlapping(boxes.evaluate_all(RECTS)) == 0
    assert boxes.evaluate_all(CUT) == []
    shoot(phone, f"phone-{view}-{size}")


def test_coverage_shows_every_counter_with_what_to_do(clusters: dict[str, str], page: Page) -> None:
    """Conflicts of identity, what was not read or listed whole, and pods that scan: how many, and what to do."""
    visit(page, clusters["small"], view="coverage")
    for reason, number in {"identity_conflict": 17, "names_full": 5, "shared_socket": 5, "processes_hidden": 7}.items():
        cells = page.locator(f"#view-coverage [data-reason={reason}] td").all_inner_texts()
        assert cells[1] == str(number)
        assert len(cells[2]) > 20
    expect(page.locator("#view-coverage [data-kind=Service]")).to_contain_text("may not list it")
    for kind in ("Service", "CronJob"):
        assert len(page.locator(f"#view-coverage [data-kind={kind}] td").all_inner_texts()[2]) > 20
    rows = page.locator("#view-coverage [data-scan=uid-scanner]").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["lab/scanner-1", "node-a", "connected to", "1024-49151", "471,293"],
        ["lab/scanner-1", "node-a", "accepted at", "0-1023", "61"],
    ]
