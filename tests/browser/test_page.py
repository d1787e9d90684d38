"""The page at `/`, read by a real Chromium from a running manager with pushed batches."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from manager.server import serving
from tests.manager.conftest import Running
from tests.manager.fresh_database import migrated
from tests.manager.shop import NODE_A, NODE_B, connection, inventory, observed, pod, service

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 1000
LATER = {"start": "2026-11-24T10:20:00.000000Z", "end": "2026-11-24T10:21:00.000000Z"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS, headless=True)
        yield started
        started.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Running]:
    """A manager that holds one window of the shop."""
    database = f"sqlite:///{tmp_path}/manager.db"
    tokens = migrated(database)
    with serving(database) as url:
        running = Running(url, database, *tokens)
        for place, body in enumerate((inventory(), NODE_A, NODE_B)):
            assert running.push(body, f"b-{place}").status_code == 201
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which any console error, failed request or exception fails the test."""
    opened = browser.new_page(viewport={"width": 1360, "height": 820})
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("requestfailed", lambda request: wrong.append(request.url))
    yield opened
    opened.close()
    assert wrong == []


def shoot(page: Page, name: str) -> None:
    """Save a screenshot in the folder that PODSONAR_SCREENSHOTS names."""
    folder = os.environ.get("PODSONAR_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def test_link_with_key_shows_every_service_and_edge(manager: Running, page: Page) -> None:
    """One link opens the map; its key leaves the address bar; the table holds what the API holds."""
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    assert page.url == f"{manager.url}/"
    wanted = manager.get("/agents/lab/map")
    edges = page.eval_on_selector_all(
        "#edges tbody tr", "rows => rows.map(row => [row.dataset.source, row.dataset.destination])"
    )
    assert edges == [[edge["source"], edge["destination"]] for edge in wanted["edges"]]
    assert ["service/shop/frontend", "service/shop/cart"] in edges
    services = page.eval_on_selector_all("#services tbody tr", "rows => rows.map(row => row.dataset.id)")
    assert services == [service["id"] for service in wanted["services"]]
    assert "recall" in (page.text_content("#recall") or "")
    shoot(page, "map")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edge_chosen_shows_both_ends(manager: Running, page: Page, scheme: str) -> None:
    """The panel of an edge has its counts and the backends that accepted."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    page.evaluate("select({edge: page.data.edges.find(edge => edge.destination === 'service/shop/cart')})")
    text = page.inner_text("#panel")
    assert "shop/frontend → shop/cart" in text
    assert "23" in text
    assert "shop/cart-1" in text
    assert "shop/cart-2" in text
    shoot(page, f"edge-{scheme}")


def test_without_key_asks_and_accepts_one(manager: Running, browser: Browser) -> None:
    """No data without a key; a wrong key is reported; a right one opens the map."""
    page = browser.new_page()
    page.goto(manager.url)
    page.fill("#key", "wrong")
    page.click("#login button")
    expect(page.locator("#login-error")).not_to_have_text("")
    assert page.locator("#edges tbody tr").count() == 0
    shoot(page, "login")
    page.fill("#key", manager.key)
    page.click("#login button")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    assert page.locator("#edges tbody tr").count() > 0
    page.close()


def test_node_without_tracer_is_shown_as_not_observed_with_the_reason(manager: Running, page: Page) -> None:
    """The panel shows how many nodes were watched, and why the third was not."""
    told = {"attempts": 0, "delivered": 0, "lost": {}, "filtered": {}, "unresolved": {}, "identity": "cgroup"}
    told |= {"tracer": "none", "observed": None, "gap": "capability_missing"}
    body = NODE_A | {"nodeName": "node-c", "observation": told, "connectionList": [], "acceptedList": []}
    assert manager.push(body, "b-node-c").status_code == 201
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    text = page.inner_text("#panel")
    assert "2 of 3" in text
    assert "node-c" in text
    assert "capability missing" in text
    shoot(page, "not-observed")


PLACES = "page.graph.nodes().not('.group').map(node => [node.id(), node.position('x'), node.position('y')])"
FRAMES = """page.graph.nodes('.group').map(group => {
    const box = group.boundingBox({includeLabels: false}); return [box.x1, box.y1, box.x2, box.y2]; })"""
SHOWN = """page.graph.nodes().not('.group').filter(one => one.hasClass('named') || !one.hasClass('afar')).map(node => {
    const {x, y} = node.renderedPosition();
    const half = node.hasClass('named') ? node.data('label').length * 3.4 : node.renderedWidth() / 2;
    return [x - half, y - 8, x + half, y + 8]; })"""
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"
NAMESPACES, SERVICES = 9, 17


def crowd(namespaces: int = NAMESPACES, each: int = SERVICES) -> list[dict[str, Any]]:
    """An inventory of 9 namespaces with 17 services each, and connections within and between them."""
    names = [(f"team-{n}", f"service-{s}") for n in range(namespaces) for s in range(each)]
    services, pods, flows = [], [], []
    for place, (namespace, name) in enumerate(names):
        address = f"10.1.{place // 200}.{place % 200 + 1}"
        services.append(service(name, 80, 80, name, f"10.96.{place // 200}.{place % 200 + 1}"))
        pods.append(pod(name, address, "node-a", name))
        for one in (services[-1], pods[-1]):
            one["metadata"] |= {"namespace": namespace, "uid": f"{one['kind']}-{place}"}
        for far in {place // each * each + place % each // 2, place * 7 % len(names)} - {place}:
            flow = connection(name, address, "10.96.0.1", 80, service="x", n=place + 1)
            flow["kubernetes"]["sourcePod"]["uid"] = f"Pod-{place}"
            flow["kubernetes"]["destinationService"]["uid"] = f"Service-{far}"
            flows.append(flow)
    return [inventory({"serviceList": services, "podList": pods}), observed("node-a", flows, [])]


def overlapping(boxes: list[list[float]]) -> int:
    """The number of boxes (left, top, right, bottom) that have a common area."""
    pairs = ((one, other) for place, one in enumerate(boxes) for other in boxes[place + 1 :])
    return sum(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a, b in pairs)


def test_places_are_the_same_at_every_visit_and_no_line_runs_below_a_node(manager: Running, page: Page) -> None:
    """A second visit finds everything in its place; each line can be followed from end to end."""
    found = []
    for _ in range(2):
        page.goto(f"{manager.url}/?again#key={manager.key}")
        page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
        found.append(page.evaluate(PLACES))
    assert found[0] == found[1]
    below = page.evaluate(
        """page.graph.edges().reduce((count, edge) => count + page.graph.nodes().not('.group').filter(node => {
            if (node.same(edge.source()) || node.same(edge.target())) return false;
            const [a, b] = [edge.source().position(), edge.target().position()];
            const {x1, x2, y1, y2} = node.boundingBox({includeLabels: false});
            return crosses(a, b, {x: x1, y: y1}, {x: x2, y: y2}) || crosses(a, b, {x: x1, y: y2}, {x: x2, y: y1});
        }).length, 0)"""
    )
    assert below == 0


@pytest.mark.parametrize(("namespaces", "each"), [(3, 4), (4, 3), (5, 2)])
def test_few_services_are_drawn_large_with_their_namespaces_apart(
    manager: Running, page: Page, namespaces: int, each: int
) -> None:
    """Of several layouts a legible one is shown: no frame lies on another, every name can be read."""
    for place, body in enumerate(crowd(namespaces, each)):
        answer = manager.push(body | {"window": LATER}, f"b-few-{place}")
        assert answer.status_code == 201, answer.text
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    page.evaluate(DRAWN)
    frames = page.evaluate(FRAMES)
    assert (len(frames), overlapping(frames)) == (namespaces, 0)
    assert page.evaluate("page.graph.zoom()") >= 0.75  # of 12 px letters
    shoot(page, f"few-{namespaces}")


def test_many_services_stand_by_namespace_and_can_be_read_from_afar(manager: Running, page: Page) -> None:
    """Frames of namespaces do not overlap, nor do visible names; selecting a service zooms to it."""
    for place, body in enumerate(crowd()):
        answer = manager.push(body | {"window": LATER}, f"b-crowd-{place}")
        assert answer.status_code == 201, answer.text
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=60 * SECONDS)
    page.evaluate(DRAWN)
    frames, shown = page.evaluate(FRAMES), page.evaluate(SHOWN)
    assert (len(frames), overlapping(frames)) == (NAMESPACES, 0)
    assert len(shown) >= NAMESPACES
    assert overlapping(shown) == 0
    shoot(page, "many")
    before = page.evaluate("page.graph.zoom()")
    page.evaluate("select({service: 'service/team-3/service-0'})")
    assert page.evaluate("page.graph.zoom()") >= before
    chosen = "page.graph.getElementById('service/team-3/service-0')"
    assert page.evaluate(f"{chosen}.hasClass('named') || !{chosen}.hasClass('afar')")
    sizes = page.evaluate("page.graph.nodes().not('.group').map(n => n.numericStyle('font-size') * page.graph.zoom())")
    assert max(sizes) < 17  # of the screen's pixels: none that was large from afar stays so
    shoot(page, "many-chosen")
    page.evaluate("select(null)")
    assert page.evaluate("page.graph.zoom()") == pytest.approx(before)


def test_map_fits_into_whatever_window_it_is_given(manager: Running, page: Page) -> None:
    """On a phone, upright or turned, every service stays within the stage and above the legend."""
    page.goto(f"{manager.url}/#key={manager.key}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    for width, height in ((420, 800), (800, 420), (1360, 820)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(
            """() => { const stage = document.getElementById('map').getBoundingClientRect();
            const box = page.graph.nodes().renderedBoundingBox();
            return box.x1 >= 0 && box.y1 >= 0 && box.x2 <= stage.width && box.y2 <= stage.height; }"""
        )
        shoot(page, f"window-{width}")
