"""The questions that a capture raises, and the source of each flow."""

from collections.abc import Mapping

from discovery.records import Accepted, Answer, Capture, Flow, Query
from node_agent import filters, identity
from node_agent.layout import NAME_LEVELS

ROOT = ("/",)
UNKNOWN = Answer("Unknown", reason="not_asked")
OF_SOCKET = 1 << 63  # in the numbers of sockets' cgroups, which are of the v2 hierarchy (bpf/tcp_connect.c)


def pods_of_cgroups(capture: Capture) -> dict[int, str | None]:
    """The pod UID of every cgroup of a capture; None for cgroups that are not a pod's."""
    return {cgroup: identity.pod_uid(names) for cgroup, names in capture.cgroups.items()}


def source_query(flow: Flow) -> Query:
    """The question for a flow whose cgroup tells of no pod: whose address was it then?"""
    return Query(address=flow.source, from_ns=flow.first_ns, to_ns=flow.last_ns)


def listener_query(entry: Accepted) -> Query:
    """The question for an accepted flow whose cgroup tells of no pod: whose address was it then?"""
    return Query(address=entry.local, from_ns=entry.first_ns, to_ns=entry.last_ns)


def nameless(capture: Capture, record: Flow | Accepted) -> bool:
    """Whether nothing certain is known of the record's cgroup: its names found no room, or end below the pod's."""
    if isinstance(record, Flow) and record.pod_uid:
        return False
    names = capture.cgroups.get(record.cgroup)
    return not names or (len(names) == NAME_LEVELS and identity.pod_uid(names) is None)


def unplaced(capture: Capture, record: Flow | Accepted) -> bool:
    """Whether the record's cgroup leaves open which pod it was: nothing is known of it, or it is its hierarchy's root.

    Kernel threads work in the root for a pod's sockets (MPTCP makes its further subflows so), and on a node whose pods
    have no cgroup v2 every listening socket belongs there. Then the address decides, if it was exactly one pod's.
    """
    return nameless(capture, record) or capture.cgroups.get(record.cgroup) == ROOT


def certainly_no_pod(capture: Capture, entry: Accepted, pods: dict[int, str | None]) -> bool:
    """Whether a listener in the root is outside every pod: not where the v2 hierarchy knows of no pods at all."""
    if nameless(capture, entry):
        return False
    unified = [pod for cgroup, pod in pods.items() if cgroup & OF_SOCKET]
    return not entry.cgroup & OF_SOCKET or any(unified)


def questions(capture: Capture) -> list[Query]:
    """Every question once: pods by UID, sources that only their address can tell, destinations.

    A destination is asked once, over the time that flows used it which may have come from a pod. Of loopback nothing is
    asked: an address that every namespace has tells of nobody.
    """
    pods = pods_of_cgroups(capture)
    uids = {pods.get(entry.cgroup) for entry in capture.accepted}
    by_address: dict[Query, None] = {}
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    for flow in capture.flows:  # one pass, which unpacks: a field by its name takes as long as all of them
        cgroup, _, address, port, _, _, _, _, first, last, _, _, _, _, uid = flow
        pod = pods.get(cgroup)
        if not pod and unplaced(capture, flow):
            if filters.is_loopback(address):
                continue
            by_address[source_query(flow)] = None
        elif not pod and not uid:
            continue
        uids.add(uid or pod)
        span = spans.get((address, port))
        if span is None:
            spans[address, port] = first, last
        elif first < span[0] or last > span[1]:
            spans[address, port] = min(first, span[0]), max(last, span[1])
    by_address |= {
        listener_query(entry): None
        for entry in capture.accepted
        if unplaced(capture, entry) and not filters.is_loopback(entry.remote)
    }
    destinations = [
        Query(address, port, first, last)
        for (address, port), (first, last) in sorted(spans.items())
        if not filters.is_loopback(address)
    ]
    return [*(Query(pod_uid=uid) for uid in sorted(uid for uid in uids if uid)), *by_address, *destinations]


def by_address(answers: Mapping[Query, Answer], query: Query) -> Answer:
    """The one pod that had the address then; never a pod on the host's network, which shares it."""
    answer = answers.get(query, UNKNOWN)
    return answer if answer.kind == "Pod" and not answer.host_network else UNKNOWN
