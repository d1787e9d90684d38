"""The table at 13, 200 and 2,000 services: what is broken over lines, and what is not."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SIZES, shoot, visit

pytestmark = pytest.mark.browser

# The texts of cells in which a word is broken, or which are narrower than they have to be.
CUT = """([tag, room]) => [...document.querySelectorAll(`#edges ${tag}`)].slice(0, 500).filter(cell => {
    if (room) return cell.clientWidth < room;
    const text = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode();
    return text && text.data.split(" ").filter(word => word).some(word => {
        const range = document.createRange(), at = text.data.indexOf(word);
        range.setStart(text, at);
        range.setEnd(text, at + word.length);
        return range.getClientRects().length > 1; });
    }).map(cell => cell.textContent)"""
WIDER = "() => { const one = document.getElementById('view-table'); return one.scrollWidth - one.clientWidth; }"


@pytest.mark.parametrize("size", SIZES)
def test_table_breaks_names_alone_and_scrolls_downwards_alone(clusters: dict[str, str], page: Page, size: str) -> None:
    """A port is one line, as is each word of another column; a name has room for 15 letters and more."""
    visit(page, clusters[size], view="table", rows="edges")
    for tag in ("th", "td.port", "td.number", "td.ends", "td.error"):
        assert page.locator(f"#edges {tag}").count() > 0, tag
        assert page.evaluate(CUT, [tag, 0]) == [], tag
    assert page.evaluate(CUT, ["tbody td:first-child", 130]) == []
    assert page.evaluate(WIDER) <= 0
    shoot(page, f"table-{size}")
