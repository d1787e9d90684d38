"""The accepting end of one window: which pod took each accepted flow, and a count for each one left out.

Conservation: seen = delivered + lost + filtered + unresolved, where each accepted connection is in exactly one of them.
"""

from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from node_agent.attribution import filters, pod_lookup
from node_agent.attribution.json_format import reference, wire_time
from node_agent.attribution.pod_lookup import NOT_ASKED, pod_by_address
from podsonar.model import AcceptedFlow, Answer, Capture, Query


def merge_accepted(first: AcceptedFlow, other: AcceptedFlow) -> AcceptedFlow:
    """Two accepted flows of one pod as one."""
    return first._replace(
        accepted=first.accepted + other.accepted,
        first_ns=min(first.first_ns, other.first_ns),
        last_ns=max(first.last_ns, other.last_ns),
    )


def accepted_element(entry: AcceptedFlow, pod: Answer) -> dict[str, Any]:
    """One element of `acceptedList`."""
    return {
        "pod": reference(pod),
        "localIP": entry.local,
        "localPort": str(entry.port),
        "remoteIP": entry.remote,
        "accepted": entry.accepted,
        "openedBefore": entry.opened_before,
        "firstSeen": wire_time(entry.first_ns),
        "lastSeen": wire_time(entry.last_ns),
    }


def accepting_pod(
    capture: Capture, entry: AcceptedFlow, pods: dict[int, str | None], answers: Mapping[Query, Answer]
) -> Answer | None:
    """The pod that took an accepted flow, by its listener's cgroup, else by its address; None where it was no pod."""
    uid = pods.get(entry.cgroup)
    if uid:
        return answers.get(Query(pod_uid=uid), NOT_ASKED)
    if not pod_lookup.needs_address_lookup(capture, entry):
        return None
    pod = pod_by_address(answers, pod_lookup.listener_query(entry))
    return None if pod is NOT_ASKED and pod_lookup.is_outside_pods(capture, entry, pods) else pod


def left_out_rule(
    capture: Capture, entry: AcceptedFlow, pods: dict[int, str | None], pod: Answer | None
) -> tuple[str, str] | None:
    """Return `filtered` or `unresolved` and the reason why an accepted flow is left out; None if it is delivered."""
    if filters.is_loopback(entry.remote):
        return "filtered", "loopback"
    if pod is None:
        return "filtered", "not_a_pod"
    if pod.kind != "Pod" or pod.uid is None:
        return "unresolved", "pod_unknown" if pods.get(entry.cgroup) else "cgroup_unknown"
    if pod.node_name and pod.node_name != capture.node_name:
        return "filtered", "other_node"
    return ("filtered", pod.excluded) if pod.excluded else None


def accepted_list(capture: Capture, answers: Mapping[Query, Answer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return `acceptedList`, one element for each pod, address, port, remote and age, and its counts.

    Connections that were open before the window have counts of their own.
    """
    pods = pod_lookup.pods_of_cgroups(capture)
    kept: dict[tuple[str, str, int, str, bool], tuple[AcceptedFlow, Answer]] = {}
    left_out: dict[str, Counter[str]] = {"filtered": Counter(), "unresolved": Counter(), "openedBefore": Counter()}
    for entry in capture.accepted:
        pod = accepting_pod(capture, entry, pods, answers)
        rule = left_out_rule(capture, entry, pods, pod)
        if rule is not None:
            kind, reason = rule
            left_out["openedBefore" if entry.opened_before else kind][reason] += entry.accepted
        elif pod is not None and pod.uid is not None:
            where = (pod.uid, entry.local, entry.port, entry.remote, entry.opened_before)
            held = kept.get(where)
            kept[where] = (merge_accepted(held[0], entry) if held else entry, pod)
    found = [accepted_element(entry, pod) for _where, (entry, pod) in sorted(kept.items(), key=itemgetter(0))]
    delivered = Counter({True: 0, False: 0})
    for entry, _pod in kept.values():
        delivered[entry.opened_before] += entry.accepted
    return found, {
        "seen": sum(entry.accepted for entry in capture.accepted if not entry.opened_before)
        + sum(capture.accepted_lost.values()),
        "delivered": delivered[False],
        "lost": dict(sorted(capture.accepted_lost.items())),
        "filtered": dict(sorted(left_out["filtered"].items())),
        "unresolved": dict(sorted(left_out["unresolved"].items())),
        "openedBefore": {"delivered": delivered[True], "leftOut": dict(sorted(left_out["openedBefore"].items()))},
    }
