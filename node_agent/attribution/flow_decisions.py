"""What becomes of each flow: delivered from its source pod to its destination, or left out for exactly one reason."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from node_agent.attribution import filters
from node_agent.attribution.flow_groups import FlowGroup, FlowGroups
from node_agent.attribution.pod_lookup import (
    CONFLICT,
    NOT_ASKED,
    named_pod,
    needs_address_lookup,
    pod_by_address,
    source_query,
)
from node_agent.capture.fair_share import ANY_ADDRESSES
from node_agent.capture.pod_cgroup import UNKNOWN_OWNER, CgroupOwner
from podsonar.directory_answer import Answer, Query
from podsonar.model import Capture, Flow

CONFIG_HASH = re.compile("[0-9a-f]{32}")
UNRESOLVED = frozenset({"source_unknown", "source_pod_unknown", CONFLICT})
HOLDER_UNKNOWN = "holder_unknown"
SHARED_SOCKET = "shared_socket"


class Decision(NamedTuple):
    """What became of one flow: left out by `reason`, or delivered from `source` to `destination` where that is None."""

    flow: Flow
    reason: str | None
    source: Answer
    destination: Answer


@dataclass(frozen=True, slots=True)
class FlowGroupDecision:
    """Flows that share source and fate: left out by `reason`, or delivered where that is None."""

    source: Answer
    reason: str | None
    opened_before: bool
    group: FlowGroup

    def total(self, count: str) -> int:
        """The sum of one of the flows' counts."""
        return sum(self.group.column(count))


def left_out_reason(
    capture: Capture, flow: Flow, owner: CgroupOwner, source: Answer, conflict: str | None = None
) -> str | None:
    """Return why a flow is left out, or None: one of the filters' reasons or of `UNRESOLVED`."""
    if owner.kind == "shared":
        return SHARED_SOCKET
    if flow.opened_before and flow.pod_uid and source.host_network:
        return "shared_namespace"  # any process of the node may have opened it
    reason = filters.source_reason(flow, owner, source, capture.node_name, capture.own_pod_uid)
    if reason is None and owner.kind == "unknown" and flow.cgroup == capture.own_cgroup:
        return "own_traffic"
    if reason in ("source_not_a_pod", "loopback", "own_traffic"):
        return reason
    if conflict:
        return conflict
    if owner.kind == "unknown" and source.uid is None:
        return "source_unknown"
    if reason is None and (source.kind != "Pod" or source.uid is None):
        return "source_pod_unknown"
    return filters.SCAN if reason is None and flow.destination in ANY_ADDRESSES else reason


def foreign_addresses(traffic: FlowGroups, answers: Mapping[Query, Answer]) -> set[str]:
    """Return addresses of pods at which a process of another pod made connections in the window.

    Ambient proxies do: whose the sockets are that were open there before, the socket table of /proc cannot tell.
    """
    conflicts = (
        (key.source, named_pod(traffic.capture, key.owner, answers.get(query, NOT_ASKED), answers).conflict)
        for key, query in traffic.source_queries.items()
        if not key.opened_before
    )
    return {source for source, conflict in conflicts if conflict == CONFLICT}


def is_static_pod_elsewhere(owner: CgroupOwner, holder: Answer, node_name: str) -> bool:
    """Return whether the cgroup names a static pod of another node: two nodes on one kernel, as in kind, see all flows.

    The hash in the name is known to its own node alone; the address is the pod's in the whole cluster.
    """
    named_by_hash = any(CONFIG_HASH.fullmatch(uid) for uid in owner.uids)
    by_address = holder.kind == "Pod" and not holder.host_network
    return named_by_hash and by_address and holder.node_name not in (None, node_name)


def decide(traffic: FlowGroups, answers: Mapping[Query, Answer]) -> list[FlowGroupDecision]:
    """Return the decision on every flow; loopback needs no source, every other rule does."""
    foreign = foreign_addresses(traffic, answers)
    decisions = []
    for key, group in traffic.of_pods.items():
        query = traffic.source_queries.get(key)
        holder = answers.get(query, NOT_ASKED) if query else NOT_ASKED
        source, conflict = named_pod(traffic.capture, key.owner, holder, answers)
        if group.flows[0].pod_uid and conflict is None and key.source in foreign:
            conflict = HOLDER_UNKNOWN
        reason = left_out_reason(traffic.capture, group.flows[0], key.owner, source, conflict)
        if reason == "source_pod_unknown" and is_static_pod_elsewhere(key.owner, holder, traffic.capture.node_name):
            reason = "other_node"
        decisions.append(FlowGroupDecision(source, reason, key.opened_before, group))
    return decisions + decide_by_address(traffic, answers)


def decide_by_address(traffic: FlowGroups, answers: Mapping[Query, Answer]) -> list[FlowGroupDecision]:
    """Return the decisions on flows whose cgroup names no pod: each is decided by itself."""
    alike: dict[tuple[Answer, str | None, bool], FlowGroupDecision] = {}
    others = traffic.of_others
    for flow, target in zip(others.flows, others.targets, strict=True):
        owner = traffic.owners.get(flow.cgroup, UNKNOWN_OWNER)
        source = pod_by_address(answers, source_query(flow)) if needs_address_lookup(owner) else NOT_ASKED
        reason = left_out_reason(traffic.capture, flow, owner, source)
        key = source, reason, flow.opened_before
        decision = alike.get(key)
        if decision is None:
            decision = alike[key] = FlowGroupDecision(source, reason, flow.opened_before, FlowGroup())
        decision.group.flows.append(flow)
        decision.group.targets.append(target)
    return list(alike.values())


def total(count: str, decisions: Iterable[FlowGroupDecision]) -> int:
    """Return the sum of one of the counts over all flows of the decisions."""
    return sum(decision.total(count) for decision in decisions)


def counts_by_reason(decisions: Iterable[FlowGroupDecision]) -> tuple[dict[str, int], dict[str, int]]:
    """Return attempts filtered and attempts unresolved, by reason; a reason without attempts is not named."""
    counts: Counter[str] = Counter()
    for decision in decisions:
        if decision.reason:
            counts[decision.reason] += decision.total("attempts")
    named = [(reason, count) for reason, count in sorted(counts.items()) if count]
    return (
        {reason: count for reason, count in named if reason not in UNRESOLVED},
        {reason: count for reason, count in named if reason in UNRESOLVED},
    )


def opened_before_counts(capture: Capture, decisions: Iterable[FlowGroupDecision]) -> dict[str, object]:
    """Return how many connections older than the window are delivered, and why the others are not."""
    left_out = Counter(capture.opened_left_out)
    delivered = 0
    for decision in decisions:
        if not decision.opened_before:
            continue
        if decision.reason:
            left_out[decision.reason] += decision.total("established")
        else:
            delivered += decision.total("established")
    return {
        "delivered": delivered,
        "leftOut": dict(sorted(left_out.items())),
        "notRead": dict(sorted(capture.opened_not_read.items())),
        "by": capture.opened_by,
    }
