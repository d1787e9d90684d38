"""manager/history/edges/diff.py and absence.py: what differs between two windows, and what proves nothing."""

import random
from typing import Any

import pytest

from manager.history.edges.absence import NOT_OBSERVED, WOULD_HAVE_BEEN, Absence
from manager.history.edges.diff import count_changes, diff_maps, not_comparable
from tests.manager.history.many_windows import map_at, observed_map

WHOLE = {"observed": "whole", "reason": None}
SERVICES = [
    {"id": "a", "kind": "Service", "nodes": ["n-1"]},
    {"id": "b", "kind": "Service", "nodes": ["n-2"]},
    {"id": "c", "kind": "Service", "nodes": ["n-1", "n-3"]},
    {"id": "none", "kind": "Service", "nodes": []},
    {"id": "external/203.0.113.1", "kind": "External", "nodes": []},
]


@pytest.mark.parametrize(
    ("coverage", "observation", "pair", "reasons"),
    [
        ({"n-1": WHOLE, "n-2": WHOLE}, {}, ("a", "b"), []),
        ({"n-1": WHOLE, "n-2": WHOLE}, {"n-2": {"lost": {"full": 0}}}, ("a", "b"), []),
        ({"n-1": WHOLE, "n-2": WHOLE}, {"n-2": {"lost": {"full": 3}}}, ("a", "b"), ["node n-2 lost 3 connects"]),
        ({"n-1": WHOLE, "n-2": WHOLE}, {"n-2": {"lost": {"full": 3}}}, ("a", "external/203.0.113.1"), []),
        ({"n-1": WHOLE}, {}, ("a", "b"), ["node n-2 is in no report"]),
        ({"n-1": WHOLE}, {}, ("b", "a"), ["node n-2 is in no report"]),
        (
            {"n-1": WHOLE, "n-3": {"observed": "none", "reason": "no_report"}},
            {},
            ("c", "a"),
            ["node n-3 was not observed: no_report"],
        ),
        (
            {"n-1": {"observed": "part", "reason": "late_start"}, "n-3": WHOLE},
            {},
            ("a", "c"),
            ["node n-1 was observed in part: late_start"],
        ),
        ({"n-1": WHOLE}, {}, ("none", "a"), []),
        ({"n-1": WHOLE}, {}, ("unknown", "a"), []),
        (
            {"n-1": WHOLE, "n-2": {"observed": "none", "reason": None}},
            {},
            ("unknown", "a"),
            ["node n-2 was not observed: no tracer"],
        ),
        ({}, {}, ("a", "b"), ["no node was observed in this window"]),
    ],
)  # fmt: skip
def test_absence_is_proven_or_not_claimed(
    coverage: dict[str, Any], observation: dict[str, Any], pair: tuple[str, str], reasons: list[str]
) -> None:
    """Every node of both ends saw the whole window and lost nothing, or the answer names the one that did not."""
    found = Absence(SERVICES, coverage, observation).verdict(*pair)
    assert found == (NOT_OBSERVED if reasons else WOULD_HAVE_BEEN, reasons)


def jittered(edges: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """The same edges with the traffic of another minute."""
    found = []
    for edge in edges:
        attempts = max(2, round(edge["attempts"] * dice.lognormvariate(0, 0.2)))
        failed = min(attempts - 1, edge["failed"])
        if edge["failed"] == edge["attempts"]:
            failed = attempts
        found.append(edge | {"attempts": attempts, "failed": failed, "established": attempts - failed})
    return found


def test_hundred_windows_without_change_have_no_difference() -> None:
    """Traffic differs from window to window, the map does not."""
    base, dice = observed_map(200, 550, 40), random.Random(5)  # noqa: S311
    before = map_at(base, 0)
    for place in range(1, 101):
        now = map_at(base, place, jittered(base["edges"], dice))
        assert list(diff_maps(before, now)) == []
        before = now


def test_planted_changes_are_all_found_and_nothing_else() -> None:
    """Fifty of 20,000: twenty added, fifteen removed, ten that fail, five that recover."""
    base, dice = observed_map(2000, 20_000, 160), random.Random(6)  # noqa: S311
    edges = jittered(base["edges"], dice)
    ok = [edge for edge in edges if not edge["failed"]]
    bad = [edge for edge in edges if edge["failed"]]
    chosen = dice.sample(ok, 25)
    removed, failing, recovering = chosen[:15], chosen[15:], dice.sample(bad, 5)
    added = [edge | {"port": "6000"} for edge in dice.sample(ok, 20)]
    now = [edge for edge in edges if edge not in removed and edge not in failing and edge not in recovering]
    now += [edge | {"failed": edge["attempts"], "established": 0} for edge in failing]
    now += [edge | {"failed": 0, "established": edge["attempts"]} for edge in recovering]
    changes = list(diff_maps(map_at(base, 0), map_at(base, 1, now + added)))
    counts = count_changes(changes)
    assert counts == {"added": 20, "removed": 15, "failed": 10, "recovered": 5, "changed": 0, "uncertain": 0}
    planted = [*added, *removed, *failing, *recovering]
    names = ("source", "destination", "port", "type")
    assert {one.key for one in changes} == {tuple(edge[name] for name in names) for edge in planted}


def test_difference_that_may_be_one_of_observation_says_so() -> None:
    """An edge that is missing where a node was not observed is no change of traffic."""
    base = observed_map(13, 22, 3)
    now = map_at(base, 1, base["edges"][1:])
    now["coverage"] = now["coverage"] | {"node-a": {"observed": "none", "reason": "no_report"}, "node-b": WHOLE}
    (change,) = [one for one in diff_maps(map_at(base, 0), now) if one.change == "removed"]
    ends = {node for one in base["services"] if one["id"] in change.key for node in one["nodes"]}
    assert bool(change.uncertain) is ("node-a" in ends)
    assert not_comparable(map_at(base, 0), now) == []
    blind = now | {"coverage": {"node-a": {"observed": "none", "reason": "no_report"}}}
    assert not_comparable(map_at(base, 0), blind) == ["now: no node was observed for the whole window"]
