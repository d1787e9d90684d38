"""A node that was not observed differs from one that saw nothing."""

from typing import Any

from manager.service_map.build import NodeReport, build_map
from manager.service_map.node_coverage import node_coverage
from manager.store.batches.object_summary import summarize_object
from podsonar.model import Window
from podsonar.timestamp import parse_rfc3339
from tests.manager import shop
from tests.manager.service_map.test_build import report_of

SEEN = {"start": "2026-11-24T10:15:20.000000Z", "end": "2026-11-24T10:16:00.000000Z"}
FACTS = {
    kind: [summarize_object(kind, item) for item in shop.LISTS[f"{kind[0].lower()}{kind[1:]}List"]]
    for kind in ("Node", "Service", "Pod", "ReplicaSet", "Deployment")
}
WINDOW = Window(*(parse_rfc3339(shop.WINDOW[end]) for end in ("start", "end")))


def view(body: dict[str, Any], **counts: Any) -> NodeReport:
    """A node's batch as the map reads it; `told` are further members of its observation."""
    return report_of(body | {"observation": body["observation"] | counts})


def test_states_come_from_reports_and_silence_is_no_report() -> None:
    """Whole, part with its times and reason, none with the agent's reason, none without any report."""
    found = node_coverage(
        [
            ("a", {"tracer": "bcc:raw_tracepoint", "observed": SEEN, "gap": None}),
            ("b", {"tracer": "bcc:raw_tracepoint", "observed": SEEN, "gap": "started_late"}),
            ("c", {"tracer": "none", "observed": None, "gap": "capability_missing"}),
        ],
        ["a", "c", "d"],
    )
    assert {name: (one["observed"], one["reason"]) for name, one in found.items()} == {
        "a": ("whole", None),
        "b": ("part", "started_late"),
        "c": ("none", "capability_missing"),
        "d": ("none", "no_report"),
    }
    assert (found["b"]["start"], found["b"]["end"]) == (SEEN["start"], SEEN["end"])


def test_of_two_reports_of_a_node_the_better_counts() -> None:
    """An agent that was started again in a window sends two."""
    none = {"tracer": "none", "gap": "stopped"}
    part = {"tracer": "bcc:raw_tracepoint", "gap": "started_late"}
    for reports in ([none, part], [part, none]):
        found = node_coverage([("a", one) for one in reports], [])
        assert found["a"]["observed"] == "part"


def test_accepted_from_an_unwatched_node_is_not_compared() -> None:
    """The accepting end's connections from pods of that node are named, not held against recall."""
    none = NodeReport("node-a", {"tracer": "none", "gap": "btf_missing"}, [], [])
    found = build_map(WINDOW, FACTS, [none, view(shop.NODE_B)])
    kernel = {"kernel": {"state": "none", "unseen": 0, "notComparable": 0}, "nothingMissed": False}
    expected = {"observed": "none", "reason": "btf_missing", "start": None, "end": None, **kernel}
    assert found["coverage"]["node-a"] == expected
    assert found["recall"]["notComparable"] == {"node_without_agent": 15}
    assert found["recall"]["accepted"] == 0


def test_accepted_from_a_node_watched_in_part_is_not_compared_where_unexplained() -> None:
    """What its records explain counts; the rest may have been made while nobody observed."""
    part = view(shop.NODE_A | {"connectionList": []}, gap="started_late", observed=SEEN)
    found = build_map(WINDOW, FACTS, [part, view(shop.NODE_B)])
    assert found["coverage"]["node-a"]["observed"] == "part"
    assert found["recall"]["notComparable"]["node_observed_in_part"] == 28
