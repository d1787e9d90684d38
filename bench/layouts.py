"""Whether the map can be read: pairs of boxes and of labels that overlap, names that are cut, size of letters.

    python bench/layouts.py [--small] [--json FILE]

Generated clusters of 13, 200 (40 namespaces, 550 edges) and 2,000 services (160 namespaces, 20,000 edges), drawn by the
page in headless Chromium at 1280 by 820 pixels; everything is counted from the boxes that Chromium laid out.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.report import Row
from tests.browser.conftest import FLAGS, SIZES, visit
from tests.browser.generated_map import generate_map
from tests.browser.layouts import CASES, READABLE_PIXELS, read_drawing
from tests.browser.page_server import serving_page

BUDGET = f"0 overlaps, 0 cut, ≥ {READABLE_PIXELS} px"


def rows_of(browser: Browser, size: str) -> list[Row]:
    """A row per drawing of that size."""
    rows = []
    page = browser.new_page(viewport={"width": 1280, "height": 820})
    with serving_page([generate_map(*SIZES[size])]) as url:
        for case in (one for one in CASES if one.size == size):
            visit(page, url, **case.state)
            found = read_drawing(page, case.state["view"])
            overlaps = found.overlapping_nodes + found.overlapping_labels
            text = f"{found.nodes} boxes, {found.labels} labels: {overlaps:.0f} overlaps, {found.cut} cut, "
            figures = found._replace(ids=[])._asdict()
            what = f"{SIZES[size][0]:,} services: {case.name}"
            rows.append(Row(what, f"{text}{found.letters:.1f} px", BUDGET, found.readable, figures))
    page.close()
    return rows


def main() -> int:
    """Count and print; return the exit status."""
    given = report.parser(__doc__).parse_args()
    about = report.machine()
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    rows: list[Row] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS, headless=True)
        for size in ("small",) if given.small else SIZES:
            rows += rows_of(browser, size)
        browser.close()
    return report.finish("layouts", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
