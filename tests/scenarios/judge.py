"""Compares what the product recorded of a scenario with its table: one sentence per difference; none if it passed."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from collector.directory.resolve_request import parse_request
from node_agent.attribution.body import connections_body
from node_agent.attribution.flow_decisions import UNRESOLVED
from node_agent.attribution.flow_groups import directory_queries, group_flows
from podsonar.directory_answer import Answer
from podsonar.model import Capture
from tests.scenarios.compare_cgroups import judge_cgroups
from tests.scenarios.compare_map import judge_map
from tests.scenarios.records import Body, connection_record, edge_record, own_part, taken_record
from tests.scenarios.run import Observed
from tests.scenarios.simulated_cluster import Cast

CONTROL = re.compile(r"\\u00[01]|[\x00-\x1f\x7f]")
UNRESOLVED_ENDS = UNRESOLVED | {"cgroup_unknown", "pod_unknown"}


def body_of(cast: Cast, capture: Capture) -> Body:
    """The connections body of a capture, resolved by the directory under the scenario's selection through its wire
    form.
    """
    cast.directory.selection = cast.scenario.selection
    traffic = group_flows(capture)
    asked = directory_queries(traffic)
    received, _explain = parse_request(orjson.dumps({"queries": [query.wire() for query in asked]}))
    arguments = [orjson.loads(orjson.dumps(cast.directory.answer(query).wire())) for query in received]
    answers = dict(zip(asked, map(Answer.from_wire, arguments), strict=True))
    body: Body = orjson.loads(b"".join(connections_body.build_body(traffic, answers).content()))
    return body


def differences(what: str, found: list[Body], expected: list[Body]) -> Iterator[str]:
    """One sentence for each unexpected and each missing record."""
    for item in found:
        if item not in expected:
            yield f"{what}: unexpected {item}"
    for item in expected:
        if item not in found:
            yield f"{what}: missing {item}"
    if len(found) != len(expected):
        yield f"{what}: {len(found)} records, expected {len(expected)}"


def counted(counts: Mapping[str, Any], all_of_it: int) -> Iterator[str]:
    """Conservation: what was seen is delivered, lost, filtered or unresolved."""
    parts = counts["delivered"] + sum(sum(counts[name].values()) for name in ("lost", "filtered", "unresolved"))
    if parts != all_of_it:
        yield f"not conserved: {all_of_it} seen, {parts} accounted for in {counts}"


def conserved(body: Body) -> Iterator[str]:
    """Conservation at both ends of a body."""
    seen = body["observation"]
    yield from counted(seen, seen["attempts"])
    yield from counted(seen["accepted"], seen["accepted"]["seen"])


def expected_reasons(cast: Cast, letter: str, window: int) -> tuple[Counter[str], Counter[str]]:
    """`(attempts, accepted)` left out by reason, as the agent of that node must count them."""
    scenario = cast.scenario
    made: Counter[str] = Counter()
    took: Counter[str] = Counter()
    for rows, counts in ((scenario.left, made), (scenario.taken_left, took)):
        for row in rows if window == 0 else ():
            counts[row.reason if row.node in (None, letter) else "other_node"] += row.count
    for edge in scenario.edges:
        if edge.window == window and cast.pods[edge.source].node != letter:
            made["other_node"] += edge.attempts
    for taken in scenario.taken:
        if taken.window == window and cast.pods[taken.pod].node != letter and not taken.opened_before:
            took["other_node"] += taken.count
    return made, took


def judge_agent(cast: Cast, letter: str, window: int, body: Body, opens: int) -> Iterator[str]:
    """Differences between the table and the body of one node's agent."""
    scenario = cast.scenario
    at = f"window {window} node-{letter}"
    if scenario.spread:
        yield from judge_full_map(cast, letter, body)
        return
    edges = [one for one in scenario.edges if one.window == window and cast.pods[one.source].node == letter]
    taken = [one for one in scenario.taken if one.window == window and cast.pods[one.pod].node == letter]
    found = [connection_record(one) for one in body["connectionList"]]
    wrong = list(differences(f"{at} edges", found, [edge_record(cast, one) for one in edges]))
    yield from wrong
    if wrong and any(one.opened_before for one in edges):
        yield f"{at}: of the whole node, open before: {body['observation']['openedBefore']}"
    accepted = [
        {name: one[name] for name in one if not name.endswith("Seen") and name != "volume"}
        for one in body["acceptedList"]
    ]
    yield from differences(f"{at} accepted", accepted, [taken_record(cast, one) for one in taken])
    seen = body["observation"]
    for text in conserved(body):
        yield f"{at}: {text}"
    expected = expected_reasons(cast, letter, window)
    for what, counts, reasons in (("attempts", seen, expected[0]), ("accepted", seen["accepted"], expected[1])):
        for name, wanted in (("filtered", False), ("unresolved", True)):
            rows = {reason: n for reason, n in reasons.items() if (reason in UNRESOLVED_ENDS) == wanted and n}
            if counts[name] != rows:
                yield f"{at}: {what} {name} {counts[name]}, expected {rows}"
    yield from judge_cgroups(cast, at, body)
    yield from times(at, body)
    yield from unmeasured(at, body)
    if CONTROL.search(orjson.dumps(body).decode()):
        yield f"{at}: a control character in the body"
    if seen["lost"]:
        yield f"{at}: lost {seen['lost']}"
    made = cast.made.get(window, 0)
    if seen["attempts"] != made:
        yield f"{at}: {seen['attempts']} attempts seen, its programs made {made}"


def unmeasured(at: str, body: Body) -> Iterator[str]:
    """One sentence if a record has no volume or the third witness differs; /proc shows none of what is open."""
    if body["observation"]["openedBefore"]["by"] == "procfs":
        return
    records = [one for one in (*body["connectionList"], *body["acceptedList"]) if "volume" not in one]
    if records or body["observation"]["volume"]["by"] != "whole":
        yield f"{at}: volumes of {records} not measured, {body['observation']['volume']}"
    witness = body["observation"]["witness"]
    if any((*witness["unseen"].values(), *witness["programOnly"].values())):
        yield f"{at}: the kernel's own counters differ: {witness}"


def times(at: str, body: Body) -> Iterator[str]:
    """One sentence for each record that did not happen in its window."""
    window = body["window"]
    for one in [*body["connectionList"], *body["acceptedList"]]:
        before = one.get("openedBefore", False)
        if not (before or window["start"] <= one["firstSeen"] <= one["lastSeen"] <= window["end"]):
            yield f"{at}: {one['firstSeen']} to {one['lastSeen']} is not in the window {window}"


def judge_full_map(cast: Cast, letter: str, body: Body) -> Iterator[str]:
    """Differences if more destinations were dialled than the map holds: one attempt each, or in a sum, exactly."""
    seen, made = body["observation"], cast.made[0]
    summed, elsewhere = (seen["filtered"].get(reason, 0) for reason in ("scan", "other_node"))
    if seen["lost"] or seen["delivered"] + summed + elsewhere != made:
        yield f"node-{letter}: {seen}, expected {made} delivered, summed or of the other node"
    if (elsewhere == 0) != (letter == "a") or (letter == "a" and not 1024 <= seen["delivered"] <= 2048):
        yield f"node-{letter}: {seen}, expected half of 4096 flows at most, and at least half of that"
    sums = [(one["pod"]["uid"], one["end"], one["ports"], one["attempts"]) for one in seen.get("scan", ())]
    if letter == "a" and sums != [(cast.uid("Pod", "web"), "source", "0-1023", summed)]:
        yield f"node-{letter}: sums {sums}, expected {summed} attempts of web"
    if len(body["connectionList"]) != seen["delivered"]:
        yield f"node-{letter}: {len(body['connectionList'])} records of {seen['delivered']} attempts, expected one each"
    for one in body["connectionList"]:
        counts = (one["attempts"], one["failed"], one["lastErrno"], one["destination"]["kind"])
        if counts != (1, 1, 111, "External") or one["kubernetes"]["sourcePod"]["uid"] != cast.uid("Pod", "web"):
            yield f"node-{letter}: wrong record {one}"


def untraced(capture: Capture) -> Capture:
    """The capture of an agent without a tracer for the same window."""
    return Capture(capture.window, capture.node_name, "none", "cgroup", [], [], {}, {})


def judge(observed: Observed) -> list[str]:
    """Every difference between a scenario's table and what was observed; empty if it passed."""
    cast, scenario = observed.cast, observed.cast.scenario
    found = list(cast.complaints)
    for window, captures in enumerate(observed.captures):
        bodies: dict[str, Body] = {}
        for letter, capture in captures.items():
            if letter in scenario.agentless:
                continue
            whole = body_of(cast, capture)
            found += [f"window {window} node-{letter}, whole: {text}" for text in conserved(whole)]
            if letter in scenario.untraced:
                bodies[letter] = body_of(cast, untraced(capture))
                continue
            bodies[letter] = body_of(cast, own_part(cast, capture))
            found += judge_agent(cast, letter, window, bodies[letter], observed.opens)
            found += attributed_elsewhere(cast, whole, bodies[letter])
        if window == 0:
            found += judge_map(cast, bodies, next(iter(captures.values())).window)
    if found:
        lost = dict(observed.outcomes_lost)
        found.append(
            f"meanwhile the kernel skipped {observed.skipped} runs of the program, and ended {observed.unshown}"
            f" attempts without one; outcomes lost: {lost}"
        )
    return found


def attributed_elsewhere(cast: Cast, whole: Body, own: Body) -> Iterator[str]:
    """Records of the whole window that name a pod of the scenario but do not come from it."""
    uids = {cast.uid("Pod", pod.name) for pod in cast.scenario.pods}
    for one in whole["connectionList"]:
        if one["kubernetes"]["sourcePod"]["uid"] in uids and one not in own["connectionList"]:
            yield f"attributed to a pod of the scenario: {one}"
    for one in whole["acceptedList"]:
        if one["pod"]["uid"] in uids and one not in own["acceptedList"]:
            yield f"accepted, attributed to a pod of the scenario: {one}"
