"""chaos/control/judge/escape.py: (baseline, windows of a fault, what may break) -> the edges that end a run."""

from typing import Any

import pytest

from chaos.control.judge.escape import expects, find_escaped
from chaos.control.judge.hypothesis import read_hypothesis
from chaos.control.judge.observed_edges import EdgeKey, observe
from tests.chaos.control.judge.windows import BASELINE, changed, edge, vertex, window_map

CART, CATALOG = "shop/frontend -> shop/cart:8080", "shop/frontend -> shop/catalog:8080"
NONE_OF_CART, NONE_OF_CATALOG = edge("frontend", "cart", 9, 0), edge("frontend", "catalog", 9, 0)
FLAKY = edge("load", "cart", 40, 12)
OFF = {"node-b": {"observed": "none", "reason": "no_report", "start": None, "end": None}}


def escaped(
    maps: list[dict[str, Any]], baseline: list[dict[str, Any]] = BASELINE, *, settled: bool = True, **hypothesis: Any
) -> list[str]:
    """The edges; the fault's own edge is that to the cart."""
    ids = frozenset(one["window"]["id"] for one in maps if settled)
    direct = {EdgeKey(vertex("frontend"), vertex("cart"), "8080"): True}
    claims = read_hypothesis(hypothesis, "test")
    found = find_escaped(observe([window_map(baseline)]), maps, expects(claims, direct), claims.min_attempts, ids)
    return [one.partition(": ")[0] for one in found]


@pytest.mark.parametrize(
    ("edges", "hypothesis", "expected"),
    [
        pytest.param(BASELINE, {}, [], id="nothing"),
        pytest.param(changed(NONE_OF_CART), {}, [], id="predicted"),
        pytest.param(changed(NONE_OF_CART, NONE_OF_CATALOG), {}, [CATALOG], id="outside"),
        pytest.param(changed(NONE_OF_CATALOG), {"breaks": [CATALOG]}, [], id="named to break"),
        pytest.param(changed(NONE_OF_CATALOG), {"degrades": [CATALOG]}, [], id="named to degrade"),
        pytest.param(changed(NONE_OF_CATALOG), {"ignores": ["* -> shop/catalog"]}, [], id="ignored"),
        pytest.param(changed(NONE_OF_CATALOG), {"elsewhere": "ignored"}, [], id="elsewhere ignored"),
        pytest.param(changed(NONE_OF_CATALOG), {"elsewhere": "ignored", "holds": [CATALOG]}, [CATALOG], id="held"),
        pytest.param(changed(edge("frontend", "catalog", 9, 4)), {}, [], id="degraded"),
        pytest.param(changed(edge("frontend", "catalog", 3, 0)), {}, [], id="too few attempts"),
        pytest.param(changed(edge("frontend", "catalog", 0)), {}, [CATALOG], id="silent"),
        pytest.param(
            changed(edge("cart", "db", 0, port=5432)), {"minAttempts": 1}, ["shop/cart -> shop/db:5432"], id="s"
        ),
        pytest.param(changed(edge("catalog", "db", 0, port=5432)), {"minAttempts": 1}, [], id="rare and silent"),
    ],
)
def test_broken_and_silent_edges_outside_end_a_run(
    edges: list[dict[str, Any]], hypothesis: dict[str, Any], expected: list[str]
) -> None:
    """Not what was predicted, named or ignored; not what is merely worse; not what is rare."""
    assert escaped([window_map(edges, 1)], **hypothesis) == expected


def test_edge_that_failed_often_before_does_not_break_by_chance() -> None:
    """Three of ten were established before: six failures in a row say nothing, twenty do."""
    baseline = changed(FLAKY)
    few, many = (window_map(changed(edge("load", "cart", count, 0)), 1) for count in (6, 20))
    assert (escaped([few], baseline), escaped([many], baseline)) == ([], ["shop/load -> shop/cart:8080"])


def test_connecting_end_is_enough_and_without_it_nothing_is_said() -> None:
    """The accepting node may have died of it; a source that was not observed may have connected elsewhere."""
    assert escaped([window_map(changed(NONE_OF_CATALOG), 1, blind=OFF)]) == [CATALOG]
    assert escaped([window_map(changed(edge("catalog", "db", 30, 0, port=5432)), 1, blind=OFF)]) == []


def test_window_that_is_not_settled_shows_no_silent_edge() -> None:
    """Another batch of it may come; failed attempts that are here do not go away."""
    silent = window_map(changed(edge("frontend", "catalog", 0)), 1)
    assert (escaped([silent], settled=False), escaped([silent])) == ([], [CATALOG])
    assert escaped([window_map(changed(NONE_OF_CATALOG), 1)], settled=False) == [CATALOG]


def test_edge_that_breaks_late_or_slowly_is_seen() -> None:
    """In the last of several windows, or in their sum where each has too few attempts."""
    fine, broken = window_map(BASELINE, 1), window_map(changed(NONE_OF_CATALOG), 2)
    assert escaped([fine, broken]) == [CATALOG]
    slow = [window_map(changed(edge("frontend", "catalog", 3, 0)), minute) for minute in (1, 2)]
    assert escaped(slow) == [CATALOG]
