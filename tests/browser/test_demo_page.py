"""The page shows the demo's cluster: its services and its edges, read from the page itself."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from cli.demo.replay import replayed
from lab.demo import shop
from manager.server import serving
from tests.browser.conftest import SECONDS
from tests.manager.fresh_database import migrated

pytestmark = pytest.mark.browser


def test_page_shows_the_services_and_edges_of_the_demo(tmp_path: Path, browser: Browser) -> None:
    """Every service of the shop and every true edge between workloads and services is in the page's tables."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database, "demo")
    (tmp_path / "token").write_text(token)
    with serving(database) as url:
        replayed(tmp_path, url)
        page = browser.new_page()
        page.goto(f"{url}/#key={key}&view=table")
        page.wait_for_selector("body[data-ready]", timeout=20 * SECONDS)
        services = page.eval_on_selector_all("#services tbody tr", "rows => rows.map(row => row.dataset.id)")
        edges = page.eval_on_selector_all(
            "#edges tbody tr", "rows => rows.map(row => [row.dataset.destination, row.dataset.port])"
        )
        page.close()
    assert {f"service/shop/{service.name}" for service in shop.SERVICES} <= set(services)
    shown = {(destination.rpartition("/")[2], port) for destination, port in edges}
    assert {(edge.name, str(edge.port)) for edge in shop.EDGES} <= shown
