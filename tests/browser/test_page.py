"""The page at `/`, read by a real Chromium from a running manager with pushed batches."""

from copy import deepcopy

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SECONDS, shoot, visit
from tests.manager.conftest import Running
from tests.manager.shop import NODE_A, WINDOW_ID, connection, inventory, observed, pod, service

pytestmark = pytest.mark.browser

LATER = {"start": "2026-11-24T10:20:00.000000Z", "end": "2026-11-24T10:21:00.000000Z"}
LATER_ID = "2026-11-24T10:20:00Z"
CART_EDGE = "edge:service/shop/frontend|service/shop/cart|7000|TCP"
EDGES = "rows => rows.map(row => [row.dataset.source, row.dataset.destination])"
BOXES = (
    """boxes => boxes.map(box => [box.dataset.id, box.style.left, box.style.top, box.style.width, box.style.height])"""
)


def test_link_with_key_shows_every_service_and_edge(manager: Running, page: Page) -> None:
    """One link opens the map; its key leaves the address bar; drawing and tables hold what the API holds."""
    visit(page, manager.url, manager.key)
    assert page.url == f"{manager.url}/"
    wanted = manager.get("/agents/lab/map")
    drawn = page.eval_on_selector_all("#view-overview .place", "boxes => boxes.map(box => box.dataset.id)")
    assert sorted(drawn) == [service["id"] for service in wanted["services"]]
    assert "recall" in (page.text_content("#recall") or "")
    shoot(page, "map")
    visit(page, manager.url, manager.key, view="table")
    edges = page.eval_on_selector_all("#edges tbody tr", EDGES)
    assert edges == [[edge["source"], edge["destination"]] for edge in wanted["edges"]]
    assert ["service/shop/frontend", "service/shop/cart"] in edges
    services = page.eval_on_selector_all("#services tbody tr", "rows => rows.map(row => row.dataset.id)")
    assert services == [service["id"] for service in wanted["services"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edge_chosen_shows_both_ends(manager: Running, page: Page, scheme: str) -> None:
    """The panel of an edge has its counts and the backends that accepted."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit(page, manager.url, manager.key, select=CART_EDGE)
    text = page.inner_text("#panel")
    assert "shop/frontend → shop/cart" in text
    assert "23" in text
    assert "shop/cart-1" in text
    assert "shop/cart-2" in text
    shoot(page, f"edge-{scheme}")


def test_failed_edge_names_its_error_in_words(manager: Running, page: Page) -> None:
    """Errno 111 is shown as what it means, at the edge and in the verdict on the service."""
    visit(page, manager.url, manager.key, view="focus", focus="deployment/shop/load")
    assert "refused" in page.inner_text("#view-focus")
    assert "its own connects to shop/db fail" in page.inner_text("#panel")
    page.click("#panel button:has-text('shop/db :9999')")
    assert "refused: nobody listens on that port (errno 111)" in page.inner_text("#panel")


def test_without_key_asks_and_accepts_one(manager: Running, browser: Browser) -> None:
    """No data without a key; a wrong key is reported; a right one opens the map."""
    page = browser.new_page()
    page.goto(manager.url)
    page.fill("#key", "wrong")
    page.click("#login button")
    expect(page.locator("#login-error")).not_to_have_text("")
    assert page.locator(".place").count() == 0
    shoot(page, "login")
    page.fill("#key", manager.key)
    page.click("#login button")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    assert page.locator("#view-overview .place").count() > 0
    page.close()


def test_node_without_tracer_is_shown_as_not_observed_with_the_reason(manager: Running, page: Page) -> None:
    """Panel and coverage show how many nodes were watched, why the third was not, and what to do."""
    observation = {"attempts": 0, "delivered": 0, "lost": {}, "filtered": {}, "unresolved": {}, "identity": "cgroup"}
    observation |= {"tracer": "none", "observed": None, "gap": "capability_missing"}
    body = NODE_A | {"nodeName": "node-c", "observation": observation, "connectionList": [], "acceptedList": []}
    assert manager.push(body, "b-node-c").status_code == 201
    visit(page, manager.url, manager.key)
    text = page.inner_text("#panel")
    assert "2 of 3" in text
    assert "node-c" in text
    assert "lacks a capability" in text
    page.click("[data-view=coverage]")
    row = page.inner_text("tr[data-node=node-c]")
    assert "not observed" in row
    assert "PERFMON" in row
    shoot(page, "not-observed")


def test_places_are_the_same_at_every_visit_and_in_every_window(manager: Running, page: Page) -> None:
    """Reloading and choosing another window, with other connections, move nothing."""
    other = observed("node-a", [connection("cart-1", "10.1.1.20", "10.96.0.10", 80, service="frontend", n=5)], [])
    for place, body in enumerate((inventory(), other)):
        assert manager.push(body | {"window": LATER}, f"b-later-{place}").status_code == 201
    visit(page, manager.url, manager.key, window=LATER_ID, base=WINDOW_ID)
    found = page.eval_on_selector_all("#view-overview .place", BOXES)
    page.reload()
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    assert page.eval_on_selector_all("#view-overview .place", BOXES) == found
    page.click(f".bar[data-window='{WINDOW_ID}']")
    expect(page.locator(".strip-text")).to_contain_text("10:15")
    now = {box[0]: box for box in page.eval_on_selector_all("#view-overview .place", BOXES)}
    assert [now.get(box[0]) for box in found] == found


def test_rows_26_27_hostile_names_are_text_in_every_view(manager: Running, page: Page) -> None:
    """Markup, quotes and control characters of a name are shown, never run."""
    name = "<img src=x onerror=alert(1)>\"'&lt;\u202etxt"
    made = deepcopy(service(name, 80, 80, "bad", "10.96.0.99"))
    bad = pod(name, "10.1.1.99", "node-a", "bad")
    flow = connection("frontend-1", "10.1.1.10", "10.96.0.99", 80, service=name, failed=3, errno=111)
    lists = {"serviceList": [made, service("frontend", 80, 80, "frontend", "10.96.0.10")]}
    lists["podList"] = [bad, pod("frontend-1", "10.1.1.10", "node-a", "frontend")]
    for place, body in enumerate((inventory(lists), observed("node-a", [flow], []))):
        assert manager.push(body | {"window": LATER}, f"b-bad-{place}").status_code == 201
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    for view in ("overview", "focus", "matrix", "table", "coverage"):
        visit(page, manager.url, manager.key, view=view)
        if view == "focus":
            page.fill("#find", "<img")
            assert name in (page.text_content("#found") or "")
            page.press("#find", "Enter")
            expect(page.locator("#view-focus .place.middle")).to_contain_text("<img src=x")
        assert page.locator("main img").count() == 0
    visit(page, manager.url, manager.key, view="table")
    assert name in (page.text_content("#edges") or "")


def test_explanation_shows_cgroups_as_text(manager: Running, page: Page) -> None:
    """Each on a line of its own; markup in a name is shown, never run, and the panel stays as wide."""
    paths = ["/kubepods/<img src=x onerror=alert(1)>\u202etxt\x1b[31m", f"/kubepods/{'x' * 400}"]
    body = NODE_A | {"window": LATER, "podCgroups": {"uid-frontend-1": {"paths": paths, "more": 2}}}
    for place, one in enumerate((inventory() | {"window": LATER}, body)):
        assert manager.push(one, f"b-cgroups-{place}").status_code == 201
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))

    visit(page, manager.url, manager.key, view="table", select=CART_EDGE)
    page.click("[data-action=explain]")
    shown = page.locator("[data-part=explanation] li small")
    expect(shown.nth(3)).to_have_text("and 2 cgroups more")
    assert [shown.nth(place).text_content() for place in (1, 2)] == paths
    assert page.locator("main img").count() == 0
    panel = page.locator("#panel")
    assert panel.evaluate("one => one.scrollWidth <= one.clientWidth")
    shoot(page, "explained-cgroups")


def test_page_leads_from_nothing_to_the_first_window(manager: Running, page: Page) -> None:
    """A manager whose agents sent nothing shows the step that comes next; with a map it shows the map."""
    page.route("**/api/v1/agents?all=true", lambda route: route.fulfill(json={"items": []}))
    visit(page, manager.url, manager.key)
    expect(page.locator("#first-run [aria-current=step]")).to_contain_text("token create")
    page.unroute("**/api/v1/agents?all=true")
    empty = {"windows": [], "window": None, "services": [], "edges": []}
    page.route("**/map?*", lambda route: route.fulfill(json=empty))
    visit(page, manager.url, manager.key)
    expect(page.locator("#first-run [aria-current=step]")).to_contain_text("helm install")
    assert page.locator("#main").is_hidden()
    shoot(page, "first-run")
    page.unroute("**/map?*")
    expect(page.locator("#main")).to_be_visible()
