"""Finds the pod behind a record by its cgroup and address."""

from collections.abc import Mapping

from node_agent.capture import pod_cgroup
from node_agent.privileged.bpf_structs import NAME_LEVELS
from podsonar.model import AcceptedFlow, Answer, Capture, Flow, Query

ROOT = ("/",)
NOT_ASKED = Answer("Unknown", reason="not_asked")
OF_SOCKET = 1 << 63  # in the numbers of sockets' cgroups, which are of the v2 hierarchy (bpf/tcp_connect.c)


def pods_of_cgroups(capture: Capture) -> dict[int, str | None]:
    """The pod UID of every cgroup of a capture; None for cgroups that are not a pod's."""
    return {cgroup: pod_cgroup.pod_uid(names) for cgroup, names in capture.cgroups.items()}


def source_query(flow: Flow) -> Query:
    """Return the query for a flow whose cgroup identifies no pod: the owner of its source address at that time."""
    return Query(address=flow.source, from_ns=flow.first_ns, to_ns=flow.last_ns)


def listener_query(entry: AcceptedFlow) -> Query:
    """Return the query for an accepted flow whose cgroup identifies no pod: the owner of its address at that time."""
    return Query(address=entry.local, from_ns=entry.first_ns, to_ns=entry.last_ns)


def cgroup_unknown(capture: Capture, record: Flow | AcceptedFlow) -> bool:
    """Whether nothing certain is known of the record's cgroup: its names found no room, or end below the pod's."""
    if isinstance(record, Flow) and record.pod_uid:
        return False
    names = capture.cgroups.get(record.cgroup)
    return not names or (len(names) == NAME_LEVELS and pod_cgroup.pod_uid(names) is None)


def needs_address_lookup(capture: Capture, record: Flow | AcceptedFlow) -> bool:
    """Whether the record's cgroup leaves open which pod it was: nothing is known of it, or it is its hierarchy's root.

    Kernel threads work in the root for a pod's sockets (MPTCP makes its further subflows so), and on a node whose pods
    have no cgroup v2 every listening socket belongs there. Then the address decides, if it was exactly one pod's.
    """
    return cgroup_unknown(capture, record) or capture.cgroups.get(record.cgroup) == ROOT


def is_outside_pods(capture: Capture, entry: AcceptedFlow, pods: dict[int, str | None]) -> bool:
    """Whether a listener in the root is outside every pod: not where the v2 hierarchy knows of no pods at all."""
    if cgroup_unknown(capture, entry):
        return False
    unified = [pod for cgroup, pod in pods.items() if cgroup & OF_SOCKET]
    return not entry.cgroup & OF_SOCKET or any(unified)


def pod_by_address(answers: Mapping[Query, Answer], query: Query) -> Answer:
    """The one pod that had the address then; never a pod on the host's network, which shares it."""
    answer = answers.get(query, NOT_ASKED)
    return answer if answer.kind == "Pod" and not answer.host_network else NOT_ASKED
