"""The page at `/`, read with a real Chromium from a running manager that was fed by batches."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from manager.server import serving
from manager.store import Store
from manager.store_tokens import create_token
from tests.manager.conftest import Running
from tests.manager.shop import NODE_A, NODE_B, inventory

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
    store = Store(database)
    store.migrate()
    token = create_token(store, "ingest", "lab", 1, secrets.token_bytes).text()
    key = create_token(store, "read", "tester", 1, secrets.token_bytes).text()
    store.close()
    with serving(database) as url:
        running = Running(url, database, token, key)
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
    """A screenshot in the folder that PODSONAR_SCREENSHOTS names."""
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
    """No data without a key; a wrong key is told; a right one opens the map."""
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
    """The panel says how many nodes were watched, and why the third was not."""
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
