"""A real Chromium, a manager with one window of the shop, and pages in which any error fails the test."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from manager.server import serving
from tests.browser.generated_map import changed_map, generate_map
from tests.browser.page_server import serving_page
from tests.manager.conftest import Running
from tests.manager.fresh_database import migrated
from tests.manager.shop import NODE_A, NODE_B, inventory

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
expect.set_options(timeout=20 * SECONDS)  # what a page shows comes; how soon on a busy machine is no matter of tests
# Services, edges and namespaces of the clusters that the views are tested with.
SIZES = {"small": (13, 22, 3), "middle": (200, 550, 40), "large": (2000, 20_000, 160)}


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def clusters() -> Iterator[dict[str, str]]:
    """URLs of the page over generated maps of each size; the window before lacks 3 edges, has 2 others, 4 changed."""
    urls = {}
    servers = []
    for name, (services, edges, namespaces) in SIZES.items():
        newer = generate_map(services, edges, namespaces)
        server = serving_page([newer, changed_map(newer, added=3, removed=2, changed=4)])
        urls[name] = server.__enter__()
        servers.append(server)
    yield urls
    for server in servers:
        server.__exit__(None, None, None)


def watched(opened: Page) -> Iterator[Page]:
    """The page; any console error, failed request or exception fails the test at its end."""
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("requestfailed", lambda one: wrong.append(one.url) if one.failure != "net::ERR_ABORTED" else None)
    yield opened
    opened.close()
    assert wrong == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a desktop."""
    yield from watched(browser.new_page(viewport={"width": 1280, "height": 820}))


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A page of a phone."""
    yield from watched(browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True))


def visit(page: Page, url: str, key: str = "key", **state: str) -> Page:
    """Open the page with that state in its address, and wait until it is drawn."""
    page.goto("about:blank")
    rest = "".join(f"&{name}={value}" for name, value in state.items())
    page.goto(f"{url}/#key={key}{rest}")
    page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
    return page


def shoot(page: Page, name: str) -> None:
    """Save a screenshot in the folder that PODSONAR_SCREENSHOTS names."""
    folder = os.environ.get("PODSONAR_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def overlapping(boxes: list[list[float]], spare: float = 0.5) -> int:
    """The number of pairs of boxes (left, top, right, bottom) that have a common area."""
    pairs = ((one, other) for place, one in enumerate(boxes) for other in boxes[place + 1 :])
    return sum(
        a[0] + spare < b[2] and b[0] + spare < a[2] and a[1] + spare < b[3] and b[1] + spare < a[3] for a, b in pairs
    )
