"""Builds the accepting end of one window: the pod of each accepted flow, and counts of those left out.

Conservation: seen = delivered + lost + filtered + unresolved; each accepted connection is in exactly one of them.
"""

from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from node_agent.attribution.body.json_format import reference, wire_time
from node_agent.attribution.body.pod_cgroups import PodCgroups
from node_agent.attribution.body.scan_sums import ScanSums
from node_agent.attribution.filters import SCAN, is_loopback
from node_agent.attribution.pod_lookup import (
    CONFLICT,
    NOT_ASKED,
    NamedPod,
    is_outside_pods,
    listener_queries,
    listener_query,
    named_pod,
    needs_address_lookup,
    owners_of_cgroups,
    pod_by_address,
)
from node_agent.capture.fair_share import ANY_ADDRESSES
from node_agent.capture.pod_cgroup import UNKNOWN_OWNER, CgroupOwner
from podsonar.directory_answer import Answer, Query
from podsonar.model import AcceptedFlow, Capture, sum_of_volumes


class LeftOut(NamedTuple):
    """The count and the reason under which an accepted flow is left out."""

    kind: Literal["filtered", "unresolved"]
    reason: str


class Listeners(NamedTuple):
    """The owner of each cgroup, and the question whose each pod's listening address was."""

    owners: Mapping[int, CgroupOwner]
    queries: Mapping[tuple[int, str], Query]

    def owner(self, entry: AcceptedFlow) -> CgroupOwner:
        """Return the owner of the listener's cgroup."""
        return self.owners.get(entry.cgroup, UNKNOWN_OWNER)


def merge_accepted(first: AcceptedFlow, other: AcceptedFlow) -> AcceptedFlow:
    """Return two accepted flows of one pod as one."""
    return first._replace(
        accepted=first.accepted + other.accepted,
        first_ns=min(first.first_ns, other.first_ns),
        last_ns=max(first.last_ns, other.last_ns),
        volume=sum_of_volumes(first.volume, other.volume),
    )


def accepted_element(entry: AcceptedFlow, pod: Answer) -> dict[str, Any]:
    """Return one element of `acceptedList`."""
    element = {
        "pod": reference(pod),
        "localIP": entry.local,
        "localPort": str(entry.port),
        "remoteIP": entry.remote,
        "accepted": entry.accepted,
        "openedBefore": entry.opened_before,
        "firstSeen": wire_time(entry.first_ns),
        "lastSeen": wire_time(entry.last_ns),
    }
    return element if entry.volume is None else element | {"volume": entry.volume.wire()}


def accepting_pod(
    capture: Capture, entry: AcceptedFlow, listeners: Listeners, answers: Mapping[Query, Answer]
) -> NamedPod:
    """Return the pod that accepted a flow: its listener's cgroup names it, checked by the address, else the address."""
    owner = listeners.owner(entry)
    if owner.kind == "pod":
        query = listeners.queries.get((entry.cgroup, entry.local))
        return named_pod(capture, owner, answers.get(query, NOT_ASKED) if query else NOT_ASKED, answers)
    if needs_address_lookup(owner):
        return NamedPod(pod_by_address(answers, listener_query(entry)))
    return NamedPod(NOT_ASKED)


def left_out_rule(capture: Capture, entry: AcceptedFlow, listeners: Listeners, named: NamedPod) -> LeftOut | None:
    """Return why an accepted flow is left out; None if it is delivered."""
    owner, pod = listeners.owner(entry), named.pod
    if is_loopback(entry.remote):
        return LeftOut("filtered", "loopback")
    if named.conflict:
        return LeftOut("unresolved" if named.conflict == CONFLICT else "filtered", named.conflict)
    if pod.kind != "Pod" or pod.uid is None:
        if is_outside_pods(entry, owner, listeners.owners):
            return LeftOut("filtered", "not_a_pod")
        return LeftOut("unresolved", "pod_unknown" if owner.kind == "pod" else "cgroup_unknown")
    if capture.node_name and pod.node_name and pod.node_name != capture.node_name:
        return LeftOut("filtered", "other_node")
    if pod.excluded:
        return LeftOut("filtered", pod.excluded)
    return LeftOut("filtered", SCAN) if entry.remote in ANY_ADDRESSES else None


def accepted_list(
    capture: Capture, answers: Mapping[Query, Answer], scans: ScanSums, cgroups: PodCgroups
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return `acceptedList`, one element for each pod, address, port, remote and age, and its counts.

    Connections that were open before the window have counts of their own.
    """
    owners = owners_of_cgroups(capture)
    listeners = Listeners(owners, listener_queries(capture, owners))
    delivered_flows: dict[tuple[str, str, int, str, bool], tuple[AcceptedFlow, Answer]] = {}
    left_out: dict[str, Counter[str]] = {"filtered": Counter(), "unresolved": Counter(), "openedBefore": Counter()}
    for entry in capture.accepted:
        named = accepting_pod(capture, entry, listeners, answers)
        rule = left_out_rule(capture, entry, listeners, named)
        if rule is not None:
            left_out["openedBefore" if entry.opened_before else rule.kind][rule.reason] += entry.accepted
            if rule.reason == SCAN:
                scans.add(named.pod, "destination", entry.port, {"accepted": entry.accepted})
        else:
            cgroups.add_accepted(named.pod.uid or "", entry)
            place = (named.pod.uid or "", entry.local, entry.port, entry.remote, entry.opened_before)
            earlier = delivered_flows.get(place)
            delivered_flows[place] = (merge_accepted(earlier[0], entry) if earlier else entry, named.pod)
    listed = sorted(delivered_flows.items(), key=itemgetter(0))
    elements = [accepted_element(entry, pod) for _place, (entry, pod) in listed]
    delivered = Counter({True: 0, False: 0})
    for entry, _pod in delivered_flows.values():
        delivered[entry.opened_before] += entry.accepted
    return elements, {
        "seen": sum(entry.accepted for entry in capture.accepted if not entry.opened_before)
        + sum(capture.accepted_lost.values()),
        "delivered": delivered[False],
        "lost": dict(sorted(capture.accepted_lost.items())),
        "filtered": dict(sorted(left_out["filtered"].items())),
        "unresolved": dict(sorted(left_out["unresolved"].items())),
        "openedBefore": {"delivered": delivered[True], "leftOut": dict(sorted(left_out["openedBefore"].items()))},
    }
