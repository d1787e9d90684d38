"""The connections body of one window: flows with their source pod and destination, and a count for each one left out.

Conservation: attempts = delivered + lost + filtered + unresolved, where each attempt is in exactly one of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter, lt
from typing import Any

import orjson

from node_agent.attribution import accepted_flows, connection_json
from node_agent.attribution.flow_decisions import Decision, FlowGroupDecision, by_reason, decided, opened_before, total
from node_agent.attribution.flow_groups import Bundle, Target, Traffic
from node_agent.attribution.pod_lookup import UNKNOWN
from podsonar.model import Answer, Capture, Flow, Query

UNCERTAIN = ("Ambiguous", "Unknown")
AT_ONCE = 100  # connections: what they are put together from stays in the CPU's cache
WHERE = itemgetter(*map(Flow._fields.index, ("source", "destination", "port", "opened_before")))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is pushed of a window: its head, the delivered flows, its accepted list; `decided` has every flow."""

    head: dict[str, Any]
    decided: list[FlowGroupDecision]
    destinations: dict[Target, Answer]
    taken: list[dict[str, Any]]

    @property
    def observation(self) -> dict[str, Any]:
        """The counts of the window, as they are pushed."""
        found: dict[str, Any] = self.head["observation"]
        return found

    def content(self) -> Iterator[bytes]:
        """The JSON that is pushed, in parts that are made when they are asked for: the whole may be 60 MB."""
        yield orjson.dumps(self.head)[:-1] + b',"connectionList":['
        comma = b""
        for part in connection_list(self.decided, self.destinations):
            yield comma + part
            comma = b","
        yield b'],"acceptedList":' + orjson.dumps(self.taken) + b"}"

    def uncertain(self) -> int:
        """The delivered attempts whose destination cannot be named."""
        return sum(
            flow.attempts
            for one in self.decided
            if one.reason is None
            for flow, target in zip(one.bundle.flows, one.bundle.targets, strict=True)
            if self.destinations[target].kind in UNCERTAIN
        )

    def decisions(self) -> Iterator[Decision]:
        """The decision on every flow of the capture."""
        for one in self.decided:
            for flow, target in zip(one.bundle.flows, one.bundle.targets, strict=True):
                yield Decision(flow, one.reason, one.source, self.destinations[target])


def merged(first: Flow, other: Flow) -> Flow:
    """Two flows of one pod (its containers have cgroups of their own) as one."""
    latest = other if other.last_ns > first.last_ns else first
    return first._replace(
        attempts=first.attempts + other.attempts,
        established=first.established + other.established,
        failed=first.failed + other.failed,
        unfinished=first.unfinished + other.unfinished,
        first_ns=min(first.first_ns, other.first_ns),
        last_ns=max(first.last_ns, other.last_ns),
        handshake_sum_ns=first.handshake_sum_ns + other.handshake_sum_ns,
        handshake_max_ns=max(first.handshake_max_ns, other.handshake_max_ns),
        last_errno=latest.last_errno or first.last_errno or other.last_errno,
    )


def each_once(bundles: list[Bundle]) -> Bundle:
    """The flows of one pod in order, one for each of its addresses, destination and port, and older or not."""
    flows = [flow for bundle in bundles for flow in bundle.flows]
    targets = [target for bundle in bundles for target in bundle.targets]
    places = list(map(WHERE, flows))
    if all(map(lt, places, islice(places, 1, None))):  # as the agent writes those of one cgroup
        return Bundle(flows, targets)
    kept: dict[tuple[str, str, int, bool], tuple[Flow, Target]] = {}
    for place, flow, target in zip(places, flows, targets, strict=True):
        held = kept.get(place)
        kept[place] = (merged(held[0], flow) if held else flow, target)
    in_order = [kept[place] for place in sorted(kept)]
    return Bundle([flow for flow, _target in in_order], [target for _flow, target in in_order])


def connection_list(found: list[FlowGroupDecision], destinations: Mapping[Target, Answer]) -> Iterator[bytes]:
    """The elements of `connectionList` in parts: one for each pod, addresses and port, in that order."""
    of_pods: defaultdict[str, list[FlowGroupDecision]] = defaultdict(list)
    for one in found:
        if one.reason is None:
            of_pods[one.source.uid or ""].append(one)
    known = connection_json.Known(destinations)
    for uid in sorted(of_pods):
        own = of_pods[uid]
        once = each_once([one.bundle for one in own])
        for at in range(0, len(once.flows), AT_ONCE):
            part = Bundle(once.flows[at : at + AT_ONCE], once.targets[at : at + AT_ONCE])
            yield connection_json.connections(own[0].source, part, known).encode()


def observation(capture: Capture, found: list[FlowGroupDecision], taken_counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of a window."""
    filtered, unresolved = by_reason(found)
    delivered = [one for one in found if one.reason is None]
    return {
        "attempts": total("attempts", found) + sum(capture.lost.values()),
        "delivered": total("attempts", delivered),
        "established": total("established", delivered),
        "failed": total("failed", delivered),
        "lost": dict(sorted(capture.lost.items())),
        "filtered": filtered,
        "unresolved": unresolved,
        "tracer": capture.tracer,
        "identity": capture.identity,
        "observed": capture.observed.wire() if capture.observed else None,
        "gap": capture.gap,
        "outcomesLost": dict(sorted(capture.outcomes_lost.items())),
        "missedRuns": capture.missed_runs,
        "ownPod": capture.own_pod_uid,
        "openedBefore": opened_before(capture, found),
        "accepted": taken_counts,
    }


def connections(traffic: Traffic, answers: Mapping[Query, Answer]) -> Outcome:
    """The body for a capture's traffic and the directory's answers; equal input gives equal bytes."""
    capture, found = traffic.capture, decided(traffic, answers)
    asked = {(query.address, query.port): answer for query, answer in answers.items() if query.port is not None}
    destinations = {target: asked.get((target.address, target.port), UNKNOWN) for target in traffic.targets}
    taken, taken_counts = accepted_flows.accepted_list(capture, answers)
    seen = observation(capture, found, taken_counts)
    head = {"nodeName": capture.node_name, "window": capture.window.wire(), "observation": seen}
    return Outcome(head, found, destinations, taken)
