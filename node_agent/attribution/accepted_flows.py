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


def accepted_list(capture: Capture, answers: Mapping[Query, Answer]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`acceptedList`, one element for each pod, address, port and remote, and its counts."""
    pods = pod_lookup.pods_of_cgroups(capture)
    kept: dict[tuple[str, str, int, str], tuple[AcceptedFlow, Answer]] = {}
    filtered: Counter[str] = Counter()
    unresolved: Counter[str] = Counter()
    for entry in capture.accepted:
        pod = accepting_pod(capture, entry, pods, answers)
        if filters.is_loopback(entry.remote):
            filtered["loopback"] += entry.accepted
        elif pod is None:
            filtered["not_a_pod"] += entry.accepted
        elif pod.kind != "Pod" or pod.uid is None:
            unresolved["pod_unknown" if pods.get(entry.cgroup) else "cgroup_unknown"] += entry.accepted
        elif pod.node_name and pod.node_name != capture.node_name:
            filtered["other_node"] += entry.accepted
        elif pod.excluded:
            filtered[pod.excluded] += entry.accepted
        else:
            where = (pod.uid, entry.local, entry.port, entry.remote)
            held = kept.get(where)
            kept[where] = (merge_accepted(held[0], entry) if held else entry, pod)
    found = [accepted_element(entry, pod) for _where, (entry, pod) in sorted(kept.items(), key=itemgetter(0))]
    return found, {
        "seen": sum(entry.accepted for entry in capture.accepted) + sum(capture.accepted_lost.values()),
        "delivered": sum(entry.accepted for entry, _pod in kept.values()),
        "lost": dict(sorted(capture.accepted_lost.items())),
        "filtered": dict(sorted(filtered.items())),
        "unresolved": dict(sorted(unresolved.items())),
    }
