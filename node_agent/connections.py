"""The connections body of one window: flows with their source pod and destination, and a count for each one left out.

Conservation: attempts = delivered + lost + filtered + unresolved, where each attempt is in exactly one of them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from discovery.records import NS_PER_SECOND, Answer, Capture, Flow, Query
from node_agent import accepted, filters, resolve
from node_agent.resolve import UNKNOWN, by_address
from node_agent.wire import reference, wire_time

UNRESOLVED = frozenset({"source_unknown", "source_pod_unknown"})


class Decision(NamedTuple):
    """What became of one flow: left out by `reason`, or delivered from `source` to `destination` where that is None."""

    flow: Flow
    reason: str | None
    source: Answer
    destination: Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """`body` is what is pushed; `decisions` has every flow of the capture, in its order."""

    body: dict[str, Any]
    decisions: list[Decision]


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


def connection(flow: Flow, source: dict[str, Any], destination: Answer, target: dict[str, Any]) -> dict[str, Any]:
    """One element of `connectionList`; `source` and `target` are references to the pod and to the destination."""
    _, address, to, port, attempts, made, failed, unfinished, first, last, total, longest, errno, opened, _ = flow
    kind = destination.kind
    return {
        "type": "TCP",
        "sourceIP": address,
        "destinationIP": to,
        "destinationPort": str(port),
        "kubernetes": {
            "sourcePod": source,
            "destinationService": target if kind == "Service" else None,
            "destinationPod": target if kind == "Pod" else None,
        },
        "destination": {"kind": kind, "reason": destination.reason, "name": destination.name},
        "attempts": attempts,
        "established": made,
        "failed": failed,
        "unfinished": unfinished,
        "lastErrno": errno or None,
        "openedBefore": opened,
        "firstSeen": wire_time(first),
        "lastSeen": wire_time(last),
        "handshakeSeconds": {"sum": total / NS_PER_SECOND, "max": longest / NS_PER_SECOND},
    }


def source_by_address(capture: Capture, flow: Flow, answers: Mapping[Query, Answer]) -> Answer:
    """The pod that made a flow whose cgroup is no pod's, where its address belonged to exactly one pod then."""
    return by_address(answers, resolve.source_query(flow)) if resolve.unplaced(capture, flow) else UNKNOWN


def decided(capture: Capture, answers: Mapping[Query, Answer]) -> list[Decision]:
    """One decision a flow; loopback needs no source, every other rule does."""
    pods = resolve.pods_of_cgroups(capture)
    owners = {query.pod_uid: answer for query, answer in answers.items() if query.pod_uid}
    asked = {where: answers.get(query, UNKNOWN) for where, query in resolve.destinations(capture, pods).items()}
    alike: dict[tuple[str, bool, bool], tuple[str | None, Answer]] = {}  # one source and one reason
    decisions = []
    for flow in capture.flows:
        uid = flow.pod_uid or pods.get(flow.cgroup)
        if uid:
            where = uid, filters.is_loopback(flow.destination), flow.opened_before
            if where not in alike:
                source = owners.get(uid, UNKNOWN)
                alike[where] = reason_of(capture, flow, uid, source), source
            reason, source = alike[where]
        else:
            source = source_by_address(capture, flow, answers)
            reason = reason_of(capture, flow, source.uid, source)
        decisions.append(Decision(flow, reason, source, asked.get((flow.destination, flow.port), UNKNOWN)))
    return decisions


def reason_of(capture: Capture, flow: Flow, uid: str | None, source: Answer) -> str | None:
    """Why a flow is left out, or None: one of the filters' reasons, `source_unknown` or `source_pod_unknown`."""
    if flow.opened_before and source.host_network:
        return "shared_namespace"  # any process of the node's may have opened it
    if uid is None and source.uid is None and resolve.nameless(capture, flow):
        return "loopback" if filters.is_loopback(flow.destination) else "source_unknown"
    reason = filters.source_reason(flow, uid, source, capture.node_name, capture.own_pod_uid)
    if reason is None and (source.kind != "Pod" or source.uid is None):
        return "source_pod_unknown"
    return reason


def by_reason(decisions: list[Decision]) -> tuple[dict[str, int], dict[str, int]]:
    """Attempts filtered and attempts unresolved, by reason; a reason without attempts is not named."""
    counts: Counter[str] = Counter()
    for decision in decisions:
        if decision.reason and decision.flow.attempts:
            counts[decision.reason] += decision.flow.attempts
    named = sorted(counts.items())
    return (
        {reason: count for reason, count in named if reason not in UNRESOLVED},
        {reason: count for reason, count in named if reason in UNRESOLVED},
    )


def opened_before(capture: Capture, decisions: list[Decision]) -> dict[str, Any]:
    """How many connections older than the window are delivered, and why the others are not."""
    left_out = Counter(capture.opened_left_out)
    delivered = 0
    for decision in decisions:
        if not decision.flow.opened_before:
            continue
        if decision.reason:
            left_out[decision.reason] += decision.flow.established
        else:
            delivered += decision.flow.established
    return {"delivered": delivered, "leftOut": dict(sorted(left_out.items()))}


def connection_list(decisions: list[Decision]) -> list[dict[str, Any]]:
    """`connectionList`: one element for each pod, addresses and port, in that order."""
    kept: dict[tuple[str, str, str, int, bool], Decision] = {}
    for decision in decisions:
        flow = decision.flow
        if decision.reason is None:
            where = (decision.source.uid or "", flow.source, flow.destination, flow.port, flow.opened_before)
            held = kept.get(where)
            kept[where] = held._replace(flow=merged(held.flow, flow)) if held else decision
    ends = {id(end): end for one in kept.values() for end in (one.source, one.destination)}
    references = {number: reference(end) for number, end in ends.items()}
    return [
        connection(flow, references[id(source)], destination, references[id(destination)])
        for _where, (flow, _reason, source, destination) in sorted(kept.items(), key=itemgetter(0))
    ]


def connections(capture: Capture, answers: Mapping[Query, Answer]) -> Outcome:
    """The body for a capture and the directory's answers; equal input gives equal bytes."""
    decisions = decided(capture, answers)
    filtered, unresolved = by_reason(decisions)
    taken, taken_counts = accepted.accepted_list(capture, answers)
    delivered = [decision.flow for decision in decisions if decision.reason is None]
    body = {
        "nodeName": capture.node_name,
        "window": capture.window.wire(),
        "observation": {
            "attempts": sum(flow.attempts for flow in capture.flows) + sum(capture.lost.values()),
            "delivered": sum(flow.attempts for flow in delivered),
            "established": sum(flow.established for flow in delivered),
            "failed": sum(flow.failed for flow in delivered),
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
            "openedBefore": opened_before(capture, decisions),
            "accepted": taken_counts,
        },
        "connectionList": connection_list(decisions),
        "acceptedList": taken,
    }
    return Outcome(body, decisions)
