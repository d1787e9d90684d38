"""The page of hosts and experiments in a real browser: lists, and a log that is followed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import shoot
from tests.chaos.conftest import Manager, chaos_manager
from tests.chaos.control.linux.conftest import TENANT, Host, admin_key, sample

pytestmark = pytest.mark.browser


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A manager with a host."""
    with chaos_manager(f"sqlite:///{tmp_path}/manager.db") as manager:
        host = Host(manager, admin_key(manager), "", "")
        made = host.person("POST", "/infras", {"name": "db-1"}).json()
        host.id, host.key = made["infraID"], made["accessKey"]
        yield host


def visit(page: Page, manager: Manager) -> None:
    """Open the page as the sample's tenant."""
    names = {"account": "accountIdentifier", "organization": "organizationIdentifier", "project": "projectIdentifier"}
    rest = "".join(f"&{name}={TENANT[long]}" for name, long in names.items())
    page.goto(f"{manager.url}/experiments/#key={manager.key}{rest}")
    page.wait_for_selector("body[data-ready]")


def test_hosts_and_tasks_are_listed_and_a_log_is_followed(page: Page, host: Host) -> None:
    """A line that is written while the log is open appears; text stays text; the end is shown."""
    host.key = host.confirm().json()["newAccessKey"]
    made = host.make()
    body = sample("logs") | {"streamID": made["streamID"]}
    body["logs"][0]["out"] = "<img src=x onerror=alert(1)> begin"
    host.ask("POST", "/logs", body)
    visit(page, host.manager)
    expect(page.locator("#infras tr")).to_have_count(1)
    expect(page.locator("#infras")).to_contain_text("db-1")
    expect(page.locator("#infras")).to_contain_text("active")
    expect(page.locator("#tasks")).to_contain_text("linux-cpu-stress")
    page.get_by_role("button", name=made["taskName"]).click()
    expect(page.locator("#lines li")).to_have_count(3)
    expect(page.locator("#lines li").first).to_contain_text("<img src=x onerror=alert(1)> begin")
    assert page.locator("#lines img").count() == 0
    host.ask("POST", "/logs", body | {"logs": [sample("logs")["logs"][2]]})
    expect(page.locator("#lines li")).to_have_count(4)
    shoot(page, "experiments")
    host.manager.log("DELETE", "", made["streamID"], token=host.key)
    expect(page.locator("#log-state")).to_have_text("Closed.")


def test_other_tenant_sees_nothing(page: Page, host: Host) -> None:
    """The lists are those of the tenant that is named."""
    host.make()
    visit(page, host.manager)
    page.locator("#project").fill("another")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#tasks")).to_contain_text("No task was made.")
    expect(page.locator("#infras")).to_contain_text("No host is registered")
