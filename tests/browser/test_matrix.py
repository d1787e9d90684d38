"""The matrix: a grey area was not observed, and what was observed has none."""

from collections import Counter

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SIZES, shoot, visit
from tests.browser.generated_map import changed_map, generate_map
from tests.browser.page_server import serving_page

pytestmark = pytest.mark.browser

# Pixels of a grey, darker than the card, whose eight neighbours have the same colour: areas, not lines and letters.
GREY = """() => {
    const canvas = document.querySelector("#view-matrix canvas");
    const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const at = (x, y) => { const p = 4 * (y * width + x); return data[p + 3] ? data.slice(p, p + 3).join() : ""; };
    let found = 0;
    for (let y = 1; y < height - 1; y += 1) for (let x = 1; x < width - 1; x += 1) {
        const colour = at(x, y), [r, g, b] = colour.split(",");
        if (!colour || r >= 250 || Math.max(r, g, b) - Math.min(r, g, b) > 16) continue;
        const around = [-1, 0, 1].flatMap(dy => [-1, 0, 1].map(dx => at(x + dx, y + dy)));
        found += around.every(one => one === colour);
    }
    return found; }"""


@pytest.mark.parametrize("size", ["small", "middle"])
@pytest.mark.parametrize("blind", [False, True])
def test_only_what_was_not_observed_is_grey(page: Page, size: str, blind: bool) -> None:
    """Groups are told apart by lines; the legend says what grey is."""
    found = generate_map(*SIZES[size])
    whole = {"observed": "whole", "reason": None, "start": None, "end": None}
    found["coverage"] = {"node-a": whole, "node-b": whole | {"observed": "none", "reason": "no_report"}}
    found["observation"] = {"node-a": {"attempts": 1, "lost": {}}}
    ((largest, _),) = Counter(one["namespace"] for one in found["services"]).most_common(1)
    for one in found["services"]:
        one["nodes"] = ["node-b"] if blind and one["namespace"] == largest else ["node-a"]
    with serving_page([found, changed_map(found, 1, 0, 0)]) as url:
        visit(page, url, view="matrix")
        assert (page.evaluate(GREY) > 100) is blind
        assert "not observed" in page.inner_text("#legend")
        shoot(page, f"matrix-{size}-{'blind' if blind else 'whole'}")
