"""What a person can read of a drawing, counted in Chromium from its boxes: overlaps, cut names, size of letters."""

from typing import NamedTuple

from playwright.sync_api import Page

# Every box that stands for something, and every piece of text of the stage, as Chromium has placed them.
READ = """view => {
    const stage = document.querySelector(`#view-${view} .stage`);
    const rect = ({left, top, right, bottom}) => ({left, top, right, bottom});
    const box = element => ({element, ...rect(element.getBoundingClientRect())});
    const text = element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return {element, ...rect(range.getBoundingClientRect())};
    };
    const all = (selector, placed) => [...stage.querySelectorAll(selector)].filter(one => one.textContent).map(placed);
    const [nodes, heads, areas] = ['.group, .place', '.area-head', '.area'].map(selector => all(selector, box));
    const labels = all('.name, .meta, .space, .failure, .layer-head, .hidden-places', text);
    const within = (a, b, spare) => a.left > b.left - spare && a.right < b.right + spare
        && a.top > b.top - spare && a.bottom < b.bottom + spare;
    const meet = (a, b) => a.left + 0.5 < b.right && b.left + 0.5 < a.right
        && a.top + 0.5 < b.bottom && b.top + 0.5 < a.bottom;
    const pairs = (some, others) => {
        const sorted = [...others].sort((a, b) => a.left - b.left);
        let found = 0;
        for (const a of some) for (const b of sorted) {
            if (b.left + 0.5 >= a.right) break;
            if (a.element !== b.element && meet(a, b) && !b.element.contains(a.element)) found += 1;
        }
        return found;
    };
    const named = [...nodes, ...heads];
    const cut = named.filter(one => [...one.element.children].some(part => !within(text(part), one, 1)));
    const letters = named.flatMap(one => [...one.element.querySelectorAll('.name')].map(name =>
        parseFloat(getComputedStyle(name).fontSize) * (one.right - one.left) / one.element.offsetWidth));
    return [
        nodes.length, pairs(nodes, nodes) / 2 + pairs(areas, areas) / 2 + pairs(heads, nodes),
        labels.length, pairs(labels, labels) / 2 + pairs(labels, named),
        cut.length, Math.min(...letters), nodes.map(one => one.element.dataset.id || ''),
    ];
}"""
READABLE_PIXELS = 9
IDENTITY = "service/identity/identity-api"


class Drawing(NamedTuple):
    """Counts of one drawing: boxes and texts, pairs of them that have a common area, names that leave their box.

    `letters` is the height of the smallest name in pixels of the screen; `ids` are those of the boxes.
    """

    nodes: int
    overlapping_nodes: float
    labels: int
    overlapping_labels: float
    cut: int
    letters: float
    ids: list[str]

    @property
    def readable(self) -> bool:
        """Whether nothing lies on anything and every name can be read as a whole."""
        wrong = self.overlapping_nodes + self.overlapping_labels + self.cut
        return self.nodes > 0 and wrong == 0 and self.letters >= READABLE_PIXELS


class Case(NamedTuple):
    """One drawing of the benchmark: the size of its map, what is drawn, and the state of the address bar."""

    size: str
    name: str
    state: dict[str, str]


OVERVIEWS = {
    "overview as it opens": {},
    "overview, all open": {"open": "*"},
    "overview by team": {"group": "team"},
}
AROUND = {
    "focus, 1 hop": {},
    "focus, 4 hops": {"hops": "4"},
    "focus, whole layers": {"more": "1"},
    "blast radius": {"mode": "blast"},
}
DRAWINGS = {name: {"view": "overview"} | state for name, state in OVERVIEWS.items()}
DRAWINGS |= {name: {"view": "focus", "focus": IDENTITY} | state for name, state in AROUND.items()}
CASES = [Case(size, name, state) for size in ("small", "middle", "large") for name, state in DRAWINGS.items()]


def read_drawing(page: Page, view: str) -> Drawing:
    """The counts of the drawing that is shown."""
    return Drawing(*page.evaluate(READ, view))
