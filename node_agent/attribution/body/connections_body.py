"""Builds the connections body of one window: flows with source pod and destination, and counts of those left out.

Conservation: attempts = delivered + lost + filtered + unresolved; each attempt is in exactly one of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter, lt
from typing import Any

import orjson

from node_agent.attribution.body import accepted_flows, connection_json
from node_agent.attribution.body.left_out_sources import left_out_sources
from node_agent.attribution.body.pod_cgroups import PodCgroups
from node_agent.attribution.body.scan_sums import ScanSums
from node_agent.attribution.flow_decisions import (
    Decision,
    FlowGroupDecision,
    counts_by_reason,
    decide,
    opened_before_counts,
    total,
)
from node_agent.attribution.flow_groups import FlowDestination, FlowGroup, FlowGroups
from node_agent.attribution.node_name import on_node
from node_agent.attribution.pod_lookup import NOT_ASKED
from podsonar.directory_answer import Answer, Query
from podsonar.model import Capture, Flow, sum_of_volumes

UNCERTAIN = ("Ambiguous", "Unknown")
AT_ONCE = 100  # connections per part: their pieces stay in the CPU's cache
ENDPOINTS_AND_AGE = itemgetter(*map(Flow._fields.index, ("source", "destination", "port", "opened_before")))


@dataclass(frozen=True, slots=True)
class ResolvedWindow:
    """The pushed body of a window: head, delivered flows and accepted list; `group_decisions` covers every flow."""

    head: dict[str, Any]
    group_decisions: list[FlowGroupDecision]
    destinations: dict[FlowDestination, Answer]
    accepted: list[dict[str, Any]]
    node_name_mismatch: str | None = None

    @property
    def observation(self) -> dict[str, Any]:
        """The counts of the window, as they are pushed."""
        counts: dict[str, Any] = self.head["observation"]
        return counts

    def content(self) -> Iterator[bytes]:
        """Yield the pushed JSON in parts, made on demand: the whole may be 60 MB."""
        yield orjson.dumps(self.head)[:-1] + b',"connectionList":['
        comma = b""
        for part in connection_list(self.group_decisions, self.destinations):
            yield comma + part
            comma = b","
        yield b'],"acceptedList":' + orjson.dumps(self.accepted) + b"}"

    def uncertain(self) -> int:
        """Number of delivered attempts whose destination is Ambiguous or Unknown."""
        return sum(
            flow.attempts
            for decision in self.group_decisions
            if decision.reason is None
            for flow, target in zip(decision.group.flows, decision.group.targets, strict=True)
            if self.destinations[target].kind in UNCERTAIN
        )

    def decisions(self) -> Iterator[Decision]:
        """Yield the decision on every flow of the capture."""
        for decision in self.group_decisions:
            for flow, target in zip(decision.group.flows, decision.group.targets, strict=True):
                yield Decision(flow, decision.reason, decision.source, self.destinations[target])


def merge_flows(first: Flow, other: Flow) -> Flow:
    """Merge two flows of one pod: each of its containers has its own cgroup."""
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
        volume=sum_of_volumes(first.volume, other.volume),
    )


def merged_by_endpoints(groups: list[FlowGroup]) -> FlowGroup:
    """Return the flows of one pod in order, one for each source, destination, port and `opened_before`."""
    flows = [flow for group in groups for flow in group.flows]
    targets = [target for group in groups for target in group.targets]
    places = list(map(ENDPOINTS_AND_AGE, flows))
    if all(map(lt, places, islice(places, 1, None))):  # as the agent writes those of one cgroup
        return FlowGroup(flows, targets)
    by_place: dict[tuple[str, str, int, bool], tuple[Flow, FlowDestination]] = {}
    for place, flow, target in zip(places, flows, targets, strict=True):
        earlier = by_place.get(place)
        by_place[place] = (merge_flows(earlier[0], flow) if earlier else flow, target)
    in_order = [by_place[place] for place in sorted(by_place)]
    return FlowGroup([flow for flow, _target in in_order], [target for _flow, target in in_order])


def connection_list(
    decisions: list[FlowGroupDecision], destinations: Mapping[FlowDestination, Answer]
) -> Iterator[bytes]:
    """Yield the elements of `connectionList` in parts, ordered by pod, addresses and port."""
    of_pods: defaultdict[str, list[FlowGroupDecision]] = defaultdict(list)
    for decision in decisions:
        if decision.reason is None:
            of_pods[decision.source.uid or ""].append(decision)
    cache = connection_json.DestinationJsonCache(destinations)
    for uid in sorted(of_pods):
        own = of_pods[uid]
        merged = merged_by_endpoints([decision.group for decision in own])
        for at in range(0, len(merged.flows), AT_ONCE):
            part = FlowGroup(merged.flows[at : at + AT_ONCE], merged.targets[at : at + AT_ONCE])
            yield connection_json.connection_elements(own[0].source, part, cache).encode()


def observation(
    capture: Capture, decisions: list[FlowGroupDecision], accepted_counts: dict[str, Any], scans: ScanSums
) -> dict[str, Any]:
    """Return the counts of a window as they are pushed in `observation`."""
    filtered, unresolved = counts_by_reason(decisions)
    delivered = [decision for decision in decisions if decision.reason is None]
    return {
        "attempts": total("attempts", decisions) + sum(capture.lost.values()),
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
        "incomplete": dict(sorted(capture.incomplete.items())),
        "ownPod": capture.own_pod_uid,
        "openedBefore": opened_before_counts(capture, decisions),
        "accepted": accepted_counts,
        **({"leftOutSources": sources} if (sources := left_out_sources(decisions)) else {}),
        "volume": {"by": capture.volume_by, "lost": dict(sorted(capture.volume_lost.items()))},
        "witness": capture.witness.wire() if capture.witness else None,
        **scans.member(),
    }


def build_body(traffic: FlowGroups, answers: Mapping[Query, Answer]) -> ResolvedWindow:
    """Return the body for grouped flows and the directory's answers; equal input gives equal bytes."""
    traffic, answers, names = on_node(traffic, answers)
    capture, decisions = traffic.capture, decide(traffic, answers)
    asked = {(query.address, query.port): answer for query, answer in answers.items() if query.port is not None}
    destinations = {target: asked.get((target.address, target.port), NOT_ASKED) for target in traffic.targets}
    scans = ScanSums()
    scans.add_flows(decisions)
    cgroups = PodCgroups(capture.cgroups)
    cgroups.add_flows(decisions)
    accepted, accepted_counts = accepted_flows.accepted_list(capture, answers, scans, cgroups)
    counts = observation(capture, decisions, accepted_counts, scans)
    listed, left_out = cgroups.member()
    counts |= {"podCgroupsLeftOut": left_out} if left_out else {}
    names_node = {"nodeName": capture.node_name, "window": capture.window.wire()}
    head = names_node | {"observation": counts, "podCgroups": listed}
    return ResolvedWindow(head, decisions, destinations, accepted, names.mismatch)
