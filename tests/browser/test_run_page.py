"""The page of one run in a real browser: surprises first, outlined predictions, states, timeline, steps, their log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import overlapping, shoot
from tests.chaos.conftest import Manager, chaos_manager
from tests.chaos.control.experiments.judged_run import STEP, JudgedRun, order_run
from tests.chaos.control.experiments.test_kserver import TENANT
from tests.chaos.observed_shop import CART, DB, LOAD, Counts
from tests.manager.conftest import CLIENT

pytestmark = pytest.mark.browser

BOXES = """(boxes) => boxes.map((one) => {
    const { left, top, right, bottom } = one.getBoundingClientRect();
    return [left, top, right, bottom];
})"""
QUERY = "&".join(f"{name}={value}" for name, value in TENANT.items())


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager."""
    with chaos_manager(f"sqlite:///{tmp_path}/manager.db") as made:
        yield made


@pytest.fixture
def run(manager: Manager) -> JudgedRun:
    """A run that is over: the predicted edge broke, another one degraded; afterwards all was well."""
    made = order_run(manager.url, manager.database)
    for after in (-200, -120, -60):
        made.window(after)
    made.window(5, cart=Counts(0, 20), db=Counts(10, 10))
    made.window(30, cart=Counts(0, 20), db=Counts(10, 10))
    made.window(65)
    made.post(completed=True)
    return made


def write(run: JudgedRun, text: str, pos: int) -> None:
    """Write a line of the step's log, by the run's own token."""
    line = {"level": "info", "pos": pos, "out": text, "time": "2026-11-30T10:00:00Z", "args": {"PodName": "runner-1"}}
    query = {"accountID": "acc", "key": f"{run.ids['runID']}-{STEP}"}
    headers = {"X-Harness-Token": run.ids["logToken"]}
    answer = CLIENT.put(f"{run.url}/log-service/stream", params=query, headers=headers, json=[line])
    assert answer.status_code == 204, answer.text


def close(run: JudgedRun) -> None:
    """Close the step's log, as its runner does."""
    query = {"accountID": "acc", "key": f"{run.ids['runID']}-{STEP}"}
    headers = {"X-Harness-Token": run.ids["logToken"]}
    assert CLIENT.delete(f"{run.url}/log-service/stream", params=query, headers=headers).status_code == 204


def visit(page: Page, run: JudgedRun, rest: str = "") -> None:
    """Open the run's page."""
    page.goto("about:blank")
    page.goto(f"{run.url}/experiments/run/?{QUERY}#key={run.key}&run={run.ids['runID']}{rest}")
    page.wait_for_selector("body[data-ready]")


def test_surprises_come_first_and_the_map_has_outlines_and_states(page: Page, run: JudgedRun) -> None:
    """The degraded edge is named before anything else; the predicted one has an outline, each its state's class."""
    visit(page, run)
    expect(page.locator("#report section").nth(1)).to_contain_text("Seen and not predicted")
    expect(page.locator("#surprise-list li")).to_have_count(1)
    expect(page.locator("#surprise-list")).to_contain_text(DB)
    expect(page.locator("#surprise-list")).to_contain_text("degraded: 20 of 40")
    expect(page.locator("#verdict-text strong")).to_have_text("Fail")
    edges = page.locator("#run-map g.edge")
    expect(edges).to_have_count(2)
    cart, db = (page.locator(f'g.edge[data-key="map {name}"]') for name in (CART, DB))
    assert (cart.locator(".outline").count(), db.locator(".outline").count()) == (1, 0)
    assert "bad" in (cart.get_attribute("class") or "")
    assert "some" in (db.get_attribute("class") or "")
    assert cart.locator("text").text_content() == "broken"
    expect(page.locator("#edges tr")).to_have_count(2)
    expect(page.locator("#edges tr").first).to_contain_text("0 of 40")
    page.get_by_role("button", name="Every edge").click()
    expect(page.locator(f'g.edge[data-key="map {LOAD}"]')).to_have_count(1)
    page.locator("#run-map").scroll_into_view_if_needed()
    assert overlapping(page.locator("#run-map .box").evaluate_all(BOXES)) == 0
    kinds = page.locator("#run-map .box").evaluate_all("(boxes) => boxes.map((one) => one.className).sort()")
    assert kinds == ["box External", "box Service", "box Service", "box Service", "box Workload"]


def test_timeline_has_the_windows_of_each_time_and_the_steps(page: Page, run: JudgedRun) -> None:
    """Baseline, fault, recovery; bars within their part; the step says how long it took."""
    visit(page, run)
    parts = page.locator("#timeline > li")
    assert [part.locator(".window").count() for part in parts.all()] == [3, 2, 1]
    expect(parts.nth(1)).to_contain_text(f"{STEP}, 60 s")
    inside = """(parts) => parts.every((part) => [...part.querySelectorAll('.row > span')].every((bar) => {
        const [a, b] = [part.getBoundingClientRect(), bar.getBoundingClientRect()];
        return b.width >= 3 && b.left >= a.left && b.right <= a.right;
    }))"""
    assert parts.evaluate_all(inside)
    shoot(page, "run")


def test_steps_have_their_probes_and_their_log_is_followed(page: Page, run: JudgedRun) -> None:
    """Phase, verdict, probes; the log of a step is a link, and a line that comes appears as text."""
    write(run, "step begins <b>bold</b>", 1)
    visit(page, run)
    row = page.locator("#steps tr")
    for text in (
        STEP,
        "edge-partition",
        "Completed",
        "Pass",
        "100 % passed",
        "shop-answers, Edge",
        "1 pods, released by G1",
    ):
        expect(row).to_contain_text(text)
    page.get_by_role("link", name=f"Log of {STEP}").click()
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#lines li")).to_contain_text("step begins <b>bold</b>")
    expect(page.locator("#log-title")).to_be_focused()
    write(run, "verdict Pass", 2)
    expect(page.locator("#lines li")).to_have_count(2)
    assert "log=cut-cart" in page.url
    visit(page, run, f"&log={STEP}")
    expect(page.locator("#lines li")).to_have_count(2)
    close(run)
    expect(page.locator("#log-state")).to_have_text("Closed.")


def test_everything_is_reached_by_the_keyboard(page: Page, run: JudgedRun) -> None:
    """From the surprise to its row, from an edge of the map to its row, to the log; the focus is seen."""
    visit(page, run)
    page.locator('[data-key^="surprise"]').first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-key="row {DB}"]')).to_be_focused()
    expect(page.locator(f'#edges tr[data-edge="{DB}"]')).to_have_attribute("aria-selected", "true")
    page.locator("#run-map").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(f'#edges tr[data-edge="{CART}"]')).to_have_attribute("aria-selected", "true")
    expect(page.locator("g.edge.chosen")).to_have_attribute("data-key", f"map {CART}")
    page.get_by_role("link", name=f"Log of {STEP}").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#log-title")).to_be_focused()
    close(run)
    expect(page.locator("#log-state")).to_have_text("Closed.")


def test_run_goes_on_while_it_is_looked_at(page: Page, manager: Manager) -> None:
    """Without a window there is the reason; what comes is shown, and the focus stays."""
    made = order_run(manager.url, manager.database)
    made.window(-60)
    visit(page, made)
    expect(page.locator("#surprise-list")).to_contain_text("Nothing can be said: no step has begun.")
    expect(page.locator("#map-section")).to_be_hidden()
    page.locator("#back").focus()
    made.window(5, cart=Counts(0, 20))
    made.post(completed=False, phase="Running", verdict="Awaited")
    expect(page.locator("#surprise-list")).to_contain_text("every edge that changed was predicted")
    expect(page.locator("#verdict-text")).to_contain_text("not settled")
    expect(page.locator("#back")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_shows_all_without_scrolling_sideways(phone: Page, run: JudgedRun, scheme: str) -> None:
    """390 px in both colour schemes: the page is not wider than the screen, boxes do not overlap, texts are seen."""
    phone.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visit(phone, run)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_role("button", name="Every edge").click()
    boxes = phone.locator("#run-map .box").evaluate_all(BOXES)
    assert overlapping(boxes) == 0
    assert all(box[0] >= 0 and box[2] <= 390 for box in boxes)
    words = phone.locator("#run-map text").evaluate_all(BOXES)
    assert (len(words), overlapping([*boxes, *words], spare=4)) == (2, 0)
    shoot(phone, f"run-phone-{scheme}")


def test_desktop_in_the_dark(page: Page, run: JudgedRun) -> None:
    """The same page in dark colours."""
    page.emulate_media(color_scheme="dark")
    visit(page, run)
    page.get_by_role("button", name="Every edge").click()
    expect(page.locator("#run-map g.edge")).to_have_count(4)
    shoot(page, "run-dark")


def test_runs_are_listed_and_lead_to_their_page(page: Page, run: JudgedRun) -> None:
    """From the page of experiments, with the tenant and the key of the tab; an unknown run says so."""
    page.goto(f"{run.url}/experiments/?{QUERY}#key={run.key}")
    page.wait_for_selector("body[data-ready]")
    expect(page.locator("#runs tr")).to_have_count(1)
    page.locator("#runs").get_by_role("link", name="cut").click()
    expect(page.locator("#name")).to_have_text("cut")
    expect(page.locator("#surprise-list li")).to_have_count(1)
    page.locator("#back").click()
    expect(page.locator("#runs tr")).to_have_count(1)


def test_key_is_asked_for(page: Page, run: JudgedRun) -> None:
    """Without one there is a form; with one the run."""
    page.goto(f"{run.url}/experiments/run/?{QUERY}#run={run.ids['runID']}")
    page.locator("#key").fill(run.key)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#name")).to_have_text("cut")
