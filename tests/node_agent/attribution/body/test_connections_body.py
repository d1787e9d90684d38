"""connections_body.py: every attempt is delivered or counted in exactly one reason; no edge is guessed."""

from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.attribution.body.connections_body import ResolvedWindow, build_body
from node_agent.attribution.body.json_format import wire_time
from node_agent.attribution.flow_groups import directory_queries, group_flows
from node_agent.attribution.flow_log import decision_line, read_log
from podsonar.directory_answer import Answer, Query
from podsonar.model import AcceptedFlow, Flow, Volume
from podsonar.timestamp import rfc3339
from tests.node_agent.stages import CGROUPS, SECOND, START_NS, WEB, body, capture, flow, resolved

STRANGER = ("c0ffee", "pod77777777-0b0f-4b0e-9d0a-1f1e2d3c4b5a")
FLOWS = [
    flow(7, "10.96.0.10", 23),
    flow(8, "10.96.0.10", 19),
    flow(7, "10.244.0.7", 3),
    flow(7, "127.0.0.1", 5),
    flow(9, "10.96.0.10", 7),
    flow(10, "10.96.0.10", 2),
    flow(404, "10.96.0.10", 11, source="10.244.0.6"),
    flow(404, "10.96.0.10", 13, source="192.168.0.1"),
    flow(405, "10.96.0.10", 29),
    flow(0, "10.96.0.10", 0)._replace(
        established=4, opened_before=True, pod_uid="2dc5e8c6-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
    ),
]


def outcome() -> ResolvedWindow:
    """The outcome of all of them, with 17 attempts lost."""
    taken = capture(FLOWS, lost={"flows_full": 17})
    taken.cgroups[405] = STRANGER
    try:
        return resolved(taken)
    finally:
        del taken.cgroups[405]


def test_every_attempt_is_counted_once() -> None:
    """Conservation: attempts = delivered + lost + filtered + unresolved, each reason by its name."""
    seen = body(outcome())["observation"]
    assert seen["attempts"] == 23 + 19 + 3 + 5 + 7 + 2 + 11 + 13 + 29 + 17
    assert seen["delivered"] == 23 + 19 + 3 + 11
    assert seen["filtered"] == {"loopback": 5, "own_traffic": 2, "source_not_a_pod": 7}
    assert seen["unresolved"] == {"source_pod_unknown": 29, "source_unknown": 13}
    rest = sum(sum(seen[part].values()) for part in ("lost", "filtered", "unresolved"))
    assert seen["attempts"] == seen["delivered"] + rest


def test_containers_of_one_pod_give_one_connection() -> None:
    """Two cgroups of a pod are one source; what was open before stays apart."""
    listed = body(outcome())["connectionList"]
    to_service = [one for one in listed if one["sourceIP"] == "10.244.0.5" and one["destinationIP"] == "10.96.0.10"]
    assert [(one["attempts"], one["established"], one["openedBefore"]) for one in to_service] == [
        (42, 42, False),
        (0, 4, True),
    ]
    assert to_service[0]["kubernetes"]["destinationService"]["uid"] == "svc-1"


def test_an_ambiguous_destination_is_delivered_without_an_owner() -> None:
    """An address with two owners names neither, and has the reason."""
    (one,) = [one for one in body(outcome())["connectionList"] if one["destinationIP"] == "10.244.0.7"]
    assert one["kubernetes"]["destinationPod"] is None
    assert one["kubernetes"]["destinationService"] is None
    assert one["destination"]["kind"] == "Ambiguous"
    assert one["destination"]["reason"] == "two_owners"


def test_flows_in_another_order_give_the_same_bytes() -> None:
    """Equal input gives equal bytes, whatever order the kernel's maps had."""
    accepted = [AcceptedFlow(7, "10.244.0.5", 80, f"10.244.0.{n}", n, START_NS, START_NS) for n in range(9, 3, -1)]
    first = capture(FLOWS, accepted)
    shuffled = capture(FLOWS[::-1], accepted[::-1])
    bodies = [b"".join(resolved(one).content()) for one in (first, shuffled)]
    assert bodies[0] == bodies[1]


def test_accepted_flows_name_the_backend_or_a_reason() -> None:
    """The accepting end is the pod of its cgroup; the rest is counted by reason."""
    entries = [
        AcceptedFlow(7, "10.244.0.5", 80, "10.244.0.6", 13, START_NS, START_NS + 1),
        AcceptedFlow(8, "10.244.0.5", 80, "10.244.0.6", 7, START_NS, START_NS + 2),
        AcceptedFlow(9, "192.168.0.1", 22, "10.244.0.6", 5, START_NS, START_NS),
        AcceptedFlow(404, "10.244.0.9", 80, "10.244.0.6", 3, START_NS, START_NS),
        AcceptedFlow(7, "127.0.0.1", 80, "127.0.0.1", 2, START_NS, START_NS),
    ]
    taken = capture([], entries)
    found = body(resolved(taken))
    assert [(one["pod"]["name"], one["accepted"]) for one in found["acceptedList"]] == [("web-1", 20)]
    assert found["observation"]["accepted"] == {
        "seen": 30,
        "delivered": 20,
        "lost": {},
        "filtered": {"loopback": 2, "not_a_pod": 5},
        "unresolved": {"cgroup_unknown": 3},
        "openedBefore": {"delivered": 0, "leftOut": {}},
    }


ROOT, UNIFIED = 11, 1 << 63


@pytest.mark.parametrize(
    ("cgroups", "entry", "delivered", "filtered", "unresolved"),
    [
        pytest.param({}, (ROOT, "10.244.0.6"), 3, {}, {}, id="the root, at a pod's address"),
        pytest.param({}, (ROOT, "192.168.0.1"), 0, {"not_a_pod": 3}, {}, id="the root, at a node's address"),
        pytest.param(
            {}, (ROOT | UNIFIED, "192.168.0.1"), 0, {}, {"cgroup_unknown": 3}, id="the root of a v2 without pods"
        ),
        pytest.param(
            {7 | UNIFIED: ("0123abcd", f"pod{WEB}")},
            (ROOT | UNIFIED, "192.168.0.1"),
            0,
            {"not_a_pod": 3},
            {},
            id="the root of a v2 with pods",
        ),
        pytest.param({}, (404, "10.244.0.6"), 3, {}, {}, id="no names, at a pod's address"),
        pytest.param({}, (404, "192.168.0.1"), 0, {}, {"cgroup_unknown": 3}, id="no names, at a node's address"),
        pytest.param(
            {12: tuple("87654321")}, (12, "192.168.0.1"), 0, {}, {"cgroup_unknown": 3}, id="names that end too early"
        ),
    ],
)
def test_listener_whose_cgroup_tells_of_no_pod_goes_by_its_address(
    cgroups: dict[int, tuple[str, ...]],
    entry: tuple[int, str],
    delivered: int,
    filtered: dict[str, int],
    unresolved: dict[str, int],
) -> None:
    """The one pod that had the address took it; else it was no pod where that is certain, and unknown where not."""
    cgroup, local = entry
    named = {**CGROUPS, ROOT: ("/",), ROOT | UNIFIED: ("/",), **cgroups}
    accepted = [AcceptedFlow(cgroup, local, 80, "10.244.0.5", 3, START_NS, START_NS)]
    taken = replace(capture([], accepted), cgroups=named)
    found = body(resolved(taken))["observation"]["accepted"]
    assert (found["delivered"], found["filtered"], found["unresolved"]) == (delivered, filtered, unresolved)


def test_decisions_as_log_lines_read_back_with_their_reasons() -> None:
    """The debug log has one line a flow, in the shape that replay reads."""
    (node,), left_out = read_log("\n".join(map(decision_line, outcome().decisions())))
    assert len(node.connections) + len(left_out) == len(FLOWS)
    assert sorted(line.reason for line in left_out) == [
        "loopback",
        "own_traffic",
        "source_not_a_pod",
        "source_pod_unknown",
        "source_unknown",
    ]


def test_times_have_the_wire_form() -> None:
    """The faster form is the same text."""
    for at_ns in (0, 1, START_NS, START_NS + 999_999_999, START_NS + 1_000):
        assert wire_time(at_ns) == rfc3339(at_ns)


TIMES = st.one_of(st.integers(0, 2**63), st.integers(START_NS, START_NS + 60 * SECOND))
ANSWERS = st.builds(
    Answer,
    st.sampled_from(["Service", "Pod", "Node", "External", "Ambiguous", "Unknown"]),
    *[st.none() | st.text()] * 4,
)
VOLUMES = st.none() | st.builds(
    Volume, *[st.integers(0, 2**50)] * 7, st.lists(st.integers(0, 2**31), max_size=16).map(tuple)
)
ANY_FLOW = st.builds(
    Flow,
    st.sampled_from([7, 8]),
    st.sampled_from(["10.244.0.5", "fd00::5"]),
    st.just("10.96.0.10"),
    st.integers(0, 65535),
    *[st.integers(0, 2**50)] * 4,
    TIMES,
    TIMES,
    *[st.integers(0, 2**64 - 1)] * 2,
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.none(),
    VOLUMES,
)


@given(st.lists(ANY_FLOW, min_size=1), st.lists(ANSWERS, min_size=1), st.integers(0, 211))
def test_a_connection_is_written_as_its_dictionary_would_be(
    flows: list[Flow], owners: list[Answer], count: int
) -> None:
    """Put together of pieces, the JSON is what orjson writes of the same values: any name, any number, any time."""
    seen = [flows[number % len(flows)]._replace(destination=f"10.96.0.{number}") for number in range(count)]
    traffic = group_flows(capture(seen))
    answers = {
        query: owners[number % len(owners)]
        for number, query in enumerate(directory_queries(traffic))
        if query.port is not None
    }
    pod = Answer("Pod", WEB, "shop", "web-1", node_name="node-a")
    outcome = build_body(traffic, {**answers, Query(pod_uid=WEB, node="node-a"): pod})
    destinations = {query.address: answer for query, answer in answers.items()}
    in_order = sorted(seen, key=lambda flow: (flow.source, flow.destination, flow.port, flow.opened_before))
    listed = [dictionary(flow, pod, destinations[flow.destination]) for flow in in_order]
    content = b"".join(outcome.content())
    assert content == orjson.dumps({**outcome.head, "connectionList": listed, "acceptedList": []})


def dictionary(flow: Flow, pod: Answer, answer: Answer) -> dict[str, Any]:
    """One element of `connectionList` as docs and manager know it, value by value."""
    named = {"kind": answer.kind, "uid": answer.uid, "namespace": answer.namespace, "name": answer.name}
    element = {
        "type": "TCP",
        "sourceIP": flow.source,
        "destinationIP": flow.destination,
        "destinationPort": str(flow.port),
        "kubernetes": {
            "sourcePod": {"kind": "Pod", "uid": pod.uid, "namespace": pod.namespace, "name": pod.name},
            "destinationService": named if answer.kind == "Service" else None,
            "destinationPod": named if answer.kind == "Pod" else None,
        },
        "destination": {"kind": answer.kind, "reason": answer.reason, "name": answer.name},
        "attempts": flow.attempts,
        "established": flow.established,
        "failed": flow.failed,
        "unfinished": flow.unfinished,
        "lastErrno": flow.last_errno or None,
        "openedBefore": flow.opened_before,
        "firstSeen": rfc3339(flow.first_ns),
        "lastSeen": rfc3339(flow.last_ns),
        "handshakeSeconds": {"sum": flow.handshake_sum_ns / SECOND, "max": flow.handshake_max_ns / SECOND},
    }
    return element if flow.volume is None else element | {"volume": flow.volume.wire()}


ADDRESSES = st.sampled_from(["10.244.0.5", "10.244.0.6", "10.96.0.10", "192.168.0.1", "127.0.0.1", "::1"])
SOME_FLOWS = st.builds(
    flow, st.sampled_from([7, 8, 9, 10, 404, 405]), ADDRESSES, st.integers(0, 9), ADDRESSES, st.sampled_from([80, 443])
)
SOME_ACCEPTED = st.builds(
    AcceptedFlow,
    st.sampled_from([7, 8, 9, 10, 404]),
    ADDRESSES,
    st.sampled_from([80, 443]),
    ADDRESSES,
    st.integers(1, 9),
    st.just(START_NS),
    st.just(START_NS),
    st.booleans(),
    VOLUMES,
)


@given(st.lists(SOME_FLOWS, max_size=30), st.lists(SOME_ACCEPTED, max_size=30), st.integers(0, 9), st.randoms())
def test_any_window_adds_up_at_both_ends_in_any_order(
    flows: list[Flow], accepted: list[AcceptedFlow], lost: int, chance: Random
) -> None:
    """What is seen is delivered or named by a reason, the lists hold what is delivered, and order changes no byte."""
    taken = capture(flows, accepted, {"flows_full": lost})
    content = b"".join(resolved(taken).content())
    found = orjson.loads(content)
    seen, accepting = found["observation"], found["observation"]["accepted"]
    rest = sum(sum(seen[part].values()) for part in ("lost", "filtered", "unresolved"))
    assert seen["attempts"] == sum(one.attempts for one in flows) + lost == seen["delivered"] + rest
    assert seen["delivered"] == sum(one["attempts"] for one in found["connectionList"])
    left_out = sum(sum(accepting[part].values()) for part in ("filtered", "unresolved"))
    assert accepting["seen"] == accepting["delivered"] + left_out
    opened, new = ([one for one in found["acceptedList"] if one["openedBefore"] is age] for age in (True, False))
    assert accepting["delivered"] == sum(one["accepted"] for one in new)
    assert accepting["openedBefore"]["delivered"] == sum(one["accepted"] for one in opened)
    turned = capture(chance.sample(flows, len(flows)), chance.sample(accepted, len(accepted)), {"flows_full": lost})
    assert b"".join(resolved(turned).content()) == content
