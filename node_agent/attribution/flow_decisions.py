"""Decides each flow: delivered from its source pod to its destination, or left out for exactly one reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from node_agent.attribution import filters, pod_lookup
from node_agent.attribution.flow_groups import FlowGroup, FlowGroups
from node_agent.attribution.pod_lookup import NOT_ASKED, pod_by_address
from podsonar.model import Answer, Capture, Flow, Query

UNRESOLVED = frozenset({"source_unknown", "source_pod_unknown"})


class Decision(NamedTuple):
    """The decision on one flow: left out for `reason`, or delivered from `source` to `destination` if that is None."""

    flow: Flow
    reason: str | None
    source: Answer
    destination: Answer


@dataclass(frozen=True, slots=True)
class FlowGroupDecision:
    """The decision on flows with the same source: left out for `reason`, or delivered if that is None."""

    source: Answer
    reason: str | None
    opened_before: bool
    group: FlowGroup

    def total(self, count: str) -> int:
        """The sum of one of the flows' counts."""
        return sum(self.group.column(count))


def source_by_address(capture: Capture, flow: Flow, answers: Mapping[Query, Answer]) -> Answer:
    """Return the pod of a flow whose cgroup is not a pod's, if its address belonged to exactly one pod at that time."""
    return (
        pod_by_address(answers, pod_lookup.source_query(flow))
        if pod_lookup.needs_address_lookup(capture, flow)
        else NOT_ASKED
    )


def left_out_reason(capture: Capture, flow: Flow, uid: str | None, source: Answer) -> str | None:
    """Why a flow is left out, or None: one of the filters' reasons, `source_unknown` or `source_pod_unknown`."""
    if flow.opened_before and flow.pod_uid and source.host_network:
        return "shared_namespace"  # any process of the node's may have opened it
    if uid is None and source.uid is None and pod_lookup.cgroup_unknown(capture, flow):
        return "loopback" if filters.is_loopback(flow.destination) else "source_unknown"
    reason = filters.source_reason(flow, uid, source, capture.node_name, capture.own_pod_uid)
    if reason is None and (source.kind != "Pod" or source.uid is None):
        return "source_pod_unknown"
    return reason


def decide(traffic: FlowGroups, answers: Mapping[Query, Answer]) -> list[FlowGroupDecision]:
    """Decide every flow; loopback needs no source, every other rule does."""
    found = []
    for (uid, opened, _loopback), group in traffic.of_pods.items():
        source = answers.get(Query(pod_uid=uid), NOT_ASKED)
        found.append(
            FlowGroupDecision(source, left_out_reason(traffic.capture, group.flows[0], uid, source), opened, group)
        )
    return found + decide_by_address(traffic.capture, traffic.of_others, answers)


def decide_by_address(capture: Capture, others: FlowGroup, answers: Mapping[Query, Answer]) -> list[FlowGroupDecision]:
    """Decide flows whose cgroup identifies no pod, each by itself."""
    alike: dict[tuple[Answer, str | None, bool], FlowGroupDecision] = {}
    for flow, target in zip(others.flows, others.targets, strict=True):
        source = source_by_address(capture, flow, answers)
        reason = left_out_reason(capture, flow, source.uid, source)
        fate = source, reason, flow.opened_before
        held = alike.get(fate)
        if held is None:
            held = alike[fate] = FlowGroupDecision(source, reason, flow.opened_before, FlowGroup())
        held.group.flows.append(flow)
        held.group.targets.append(target)
    return list(alike.values())


def total(count: str, found: Iterable[FlowGroupDecision]) -> int:
    """The sum of one of the counts over all their flows."""
    return sum(one.total(count) for one in found)


def counts_by_reason(found: Iterable[FlowGroupDecision]) -> tuple[dict[str, int], dict[str, int]]:
    """Attempts filtered and attempts unresolved, by reason; a reason without attempts is not named."""
    counts: Counter[str] = Counter()
    for one in found:
        if one.reason:
            counts[one.reason] += one.total("attempts")
    named = [(reason, count) for reason, count in sorted(counts.items()) if count]
    return (
        {reason: count for reason, count in named if reason not in UNRESOLVED},
        {reason: count for reason, count in named if reason in UNRESOLVED},
    )


def opened_before_counts(capture: Capture, found: Iterable[FlowGroupDecision]) -> dict[str, object]:
    """How many connections older than the window are delivered, and why the others are not."""
    left_out = Counter(capture.opened_left_out)
    delivered = 0
    for one in found:
        if not one.opened_before:
            continue
        if one.reason:
            left_out[one.reason] += one.total("established")
        else:
            delivered += one.total("established")
    return {"delivered": delivered, "leftOut": dict(sorted(left_out.items())), "by": capture.opened_by}
