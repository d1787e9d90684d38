"""The connections body of one window: flows with their source pod and destination, and a count for each one left out.

Conservation: attempts = delivered + lost + filtered + unresolved, where each attempt is in exactly one of them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from discovery.records import NS_PER_SECOND, Answer, Capture, Flow, Query
from node_agent import accepted, filters, resolve
from node_agent.resolve import UNKNOWN, by_address
from node_agent.wire import reference, wire_time

WHERE = itemgetter(*map(Flow._fields.index, ("source", "destination", "port", "opened_before")))
UNRESOLVED = frozenset({"source_unknown", "source_pod_unknown"})


class Decision(NamedTuple):
    """What became of one flow: left out by `reason`, or delivered from `source` to `destination` where that is None."""

    flow: Flow
    reason: str | None
    source: Answer
    destination: Answer


class Target(NamedTuple):
    """What is known of a destination, and what the connections to it share on the wire."""

    answer: Answer
    loopback: bool
    port: str
    service: dict[str, Any] | None
    pod: dict[str, Any] | None
    destination: dict[str, Any]

    @classmethod
    def of(cls, answer: Answer, address: str, port: int) -> "Target":
        """The target of an address and port and the directory's answer on them."""
        kind, named = answer.kind, reference(answer)
        service, pod = named if kind == "Service" else None, named if kind == "Pod" else None
        destination = {"kind": kind, "reason": answer.reason, "name": answer.name}
        return cls(answer, filters.is_loopback(address), str(port), service, pod, destination)


Decided = tuple[Flow, str | None, Answer, Target]  # plain: a named one takes four times as long to make


@dataclass(frozen=True, slots=True)
class Outcome:
    """`body` is what is pushed; `decided` has every flow of the capture, in its order."""

    body: dict[str, Any]
    decided: list[Decided]

    @property
    def decisions(self) -> list[Decision]:
        """The decision on every flow of the capture, in its order."""
        return [Decision(flow, reason, source, target.answer) for flow, reason, source, target in self.decided]


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


def connection(flow: Flow, source: dict[str, Any], target: Target) -> dict[str, Any]:
    """One element of `connectionList`; `source` is the reference to the pod."""
    _, address, to, _, attempts, made, failed, unfinished, first, last, total, longest, errno, opened, _ = flow
    _, _, port, service, pod, destination = target
    return {
        "type": "TCP",
        "sourceIP": address,
        "destinationIP": to,
        "destinationPort": port,
        "kubernetes": {"sourcePod": source, "destinationService": service, "destinationPod": pod},
        "destination": destination,
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


def decided(capture: Capture, answers: Mapping[Query, Answer]) -> list[Decided]:
    """One decision a flow; loopback needs no source, every other rule does."""
    pods = resolve.pods_of_cgroups(capture)
    owners = {query.pod_uid: answer for query, answer in answers.items() if query.pod_uid}
    asked = {(query.address, query.port): answer for query, answer in answers.items() if query.port is not None}
    targets: dict[tuple[str, int], Target] = {}
    alike: dict[tuple[str, bool, bool], tuple[str | None, Answer]] = {}  # one source and one reason
    found: list[Decided] = []
    for flow in capture.flows:
        cgroup, _, to, port, _, _, _, _, _, _, _, _, _, opened, pod_uid = flow  # as fast as one field by its name
        target = targets.get((to, port))
        if target is None:
            target = targets[to, port] = Target.of(asked.get((to, port), UNKNOWN), to, port)
        uid = pod_uid or pods.get(cgroup)
        if uid:
            where = uid, target[1], opened
            known = alike.get(where)
            if known is None:
                source = owners.get(uid, UNKNOWN)
                known = alike[where] = reason_of(capture, flow, uid, source), source
            found.append((flow, *known, target))
        else:
            source = source_by_address(capture, flow, answers)
            found.append((flow, reason_of(capture, flow, source.uid, source), source, target))
    return found


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


def total(count: str, flows: list[Flow]) -> int:
    """The sum of one of the counts."""
    return sum(map(itemgetter(Flow._fields.index(count)), flows))


def by_reason(decisions: list[Decided]) -> tuple[dict[str, int], dict[str, int]]:
    """Attempts filtered and attempts unresolved, by reason; a reason without attempts is not named."""
    counts: Counter[str] = Counter()
    for flow, reason, _source, _target in decisions:
        if reason and flow.attempts:
            counts[reason] += flow.attempts
    named = sorted(counts.items())
    return (
        {reason: count for reason, count in named if reason not in UNRESOLVED},
        {reason: count for reason, count in named if reason in UNRESOLVED},
    )


def opened_before(capture: Capture, decisions: list[Decided]) -> dict[str, Any]:
    """How many connections older than the window are delivered, and why the others are not."""
    left_out = Counter(capture.opened_left_out)
    delivered = 0
    for flow, reason, _source, _target in decisions:
        if not flow.opened_before:
            continue
        if reason:
            left_out[reason] += flow.established
        else:
            delivered += flow.established
    return {"delivered": delivered, "leftOut": dict(sorted(left_out.items()))}


def connections_of_pod(delivered: list[Decided]) -> list[dict[str, Any]]:
    """One element for each of a pod's addresses, destination and port, in that order."""
    kept: dict[tuple[str, str, int, bool], Decided] = {}
    for one in delivered:
        where = WHERE(one[0])
        held = kept.setdefault(where, one)
        if held is not one:
            kept[where] = (merged(held[0], one[0]), *held[1:])
    listed = []
    pod, named = UNKNOWN, reference(UNKNOWN)
    for _where, (flow, _reason, source, target) in sorted(kept.items(), key=itemgetter(0)):
        if source is not pod:
            pod, named = source, reference(source)
        listed.append(connection(flow, named, target))
    return listed


def connection_list(delivered: list[Decided]) -> list[dict[str, Any]]:
    """`connectionList`: one element for each pod, addresses and port, in that order.

    Pod by pod: the flows of one are in order as the agent writes them, and what is kept to merge them stays small.
    """
    of_pods: defaultdict[str, list[Decided]] = defaultdict(list)
    for one in delivered:
        of_pods[one[2].uid or ""].append(one)
    return [one for uid in sorted(of_pods) for one in connections_of_pod(of_pods[uid])]


def connections(capture: Capture, answers: Mapping[Query, Answer]) -> Outcome:
    """The body for a capture and the directory's answers; equal input gives equal bytes."""
    decisions = decided(capture, answers)
    filtered, unresolved = by_reason(decisions)
    taken, taken_counts = accepted.accepted_list(capture, answers)
    kept = [decision for decision in decisions if decision[1] is None]
    delivered = [decision[0] for decision in kept]
    body = {
        "nodeName": capture.node_name,
        "window": capture.window.wire(),
        "observation": {
            "attempts": total("attempts", capture.flows) + sum(capture.lost.values()),
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
            "openedBefore": opened_before(capture, decisions),
            "accepted": taken_counts,
        },
        "connectionList": connection_list(kept),
        "acceptedList": taken,
    }
    return Outcome(body, decisions)
