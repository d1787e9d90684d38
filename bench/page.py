"""How fast the map page is with 2,000 services and 20,000 edges in headless Chromium.

    python bench/page.py [--small] [--json FILE]

Each view is opened in a new page: milliseconds from the navigation until its first screen is painted, script time until
then, and the longest task of the main thread while the stage is dragged and zoomed (0: none reached 50 ms). The median
of the rounds counts. The answers of the API are prepared and gzipped ahead, so that the page alone is measured.
"""

import shutil
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.report import Row
from tests.browser.conftest import FLAGS, SIZES
from tests.browser.generated_map import generate_map
from tests.browser.page_server import serving_page

MAX_FIRST_MS, MAX_SCRIPT_MS, MAX_TASK_MS = 1000, 300, 100
VIEWS = {
    "overview": "view=overview",
    "focus, 2 hops": "view=focus&focus=service/identity/identity-api&hops=2",
    "matrix": "view=matrix",
}
# Notes when the page has painted its first screen, and the script time until then is read right after.
MARK = """new MutationObserver(() => {
    if (!document.body?.dataset.ready || globalThis.marked) return;
    globalThis.marked = true;
    requestAnimationFrame(() => setTimeout(() => { globalThis.paintedAt = performance.now(); }));
}).observe(document, {subtree: true, attributes: true, childList: true});"""
TASKS = """() => { globalThis.tasks = [0];
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)))
        .observe({type: 'longtask'}); }"""
DRAGS, STEPS = 4, 25


def drag(page: Page) -> float:
    """Drag and zoom the stage that is shown; return the longest task meanwhile in milliseconds."""
    box = page.locator(".stage:visible").bounding_box()
    if box is None:
        raise RuntimeError("no stage is shown")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(TASKS)
    for turn in range(DRAGS):
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(STEPS):
            page.mouse.move(x - 8 * step, y - 6 * step)
        page.mouse.up()
        page.mouse.wheel(0, -200 if turn % 2 else 200)
    page.wait_for_timeout(300)
    return float(page.evaluate("Math.max(...tasks)"))


def measure(browser: Browser, url: str, state: str) -> tuple[float, float, float]:
    """First screen and script time in milliseconds, longest task while dragging."""
    page = browser.new_page(viewport={"width": 1280, "height": 820})
    page.add_init_script(MARK)
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable")
    page.goto(f"{url}/#key=key&{state}")
    page.wait_for_selector("body[data-ready]")
    page.wait_for_timeout(100)
    metrics = {one["name"]: one["value"] for one in client.send("Performance.getMetrics")["metrics"]}
    painted = float(page.evaluate("paintedAt"))
    longest = drag(page)
    page.close()
    return painted, 1000 * metrics["ScriptDuration"], longest


def rows_of(view: str, found: list[tuple[float, float, float]]) -> list[Row]:
    """Three rows of a view."""
    first, script, task = (median(column) for column in zip(*found, strict=True))
    figures = {"firstScreenMs": first, "scriptMs": script, "longestTaskMs": task}
    return [
        Row(f"{view}: first screen", f"{first:.0f} ms", f"≤ {MAX_FIRST_MS} ms", first <= MAX_FIRST_MS, figures),
        Row(f"{view}: script until then", f"{script:.0f} ms", f"≤ {MAX_SCRIPT_MS} ms", script <= MAX_SCRIPT_MS),
        Row(f"{view}: longest task while panning", f"{task:.0f} ms", f"≤ {MAX_TASK_MS} ms", task <= MAX_TASK_MS),
    ]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    size, rounds = ("small", 1) if given.small else ("large", given.rounds)
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    rows: list[Row] = []
    with sync_playwright() as playwright, serving_page([generate_map(*SIZES[size])]) as url:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS, headless=True)
        for view, state in VIEWS.items():
            rows += rows_of(view, [measure(browser, url, state) for _ in range(rounds)])
        browser.close()
    return report.finish("page", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
