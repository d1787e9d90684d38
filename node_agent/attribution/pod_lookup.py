"""Who made or accepted a record: the pod that its cgroup names, checked against its address, or the address alone.

The kernel's word on the cgroup comes first, and is checked: an address that was another pod's for all that time is an
`identity_conflict` (a process in another network namespace, or a name that a tenant made up). A cgroup that names no
pod proves nothing unless it is known to be the node's own; then the address decides, if it was exactly one pod's.
"""

from collections.abc import Mapping
from typing import NamedTuple

from node_agent.attribution.filters import is_ownerless
from node_agent.capture.pod_cgroup import SHARED, SHARED_OWNER, UNKNOWN_OWNER, CgroupOwner, owner_of
from podsonar.directory_answer import Answer, Query
from podsonar.model import AcceptedFlow, Capture, Flow

NOT_ASKED = Answer("Unknown", reason="not_asked")
OF_SOCKET = 1 << 63  # in the numbers of sockets' cgroups, which are of the v2 hierarchy (bpf/maps.c)
CONFLICT, OTHER_NODE = "identity_conflict", "other_node"


class NamedPod(NamedTuple):
    """The pod that a cgroup names, and why its address contradicts that: `identity_conflict`, `other_node` or None."""

    pod: Answer
    conflict: str | None = None


def owners_of_cgroups(capture: Capture) -> dict[int, CgroupOwner]:
    """Return the owner of every cgroup of a capture."""
    return {cgroup: owner_of(names) for cgroup, names in capture.cgroups.items()} | {SHARED: SHARED_OWNER}


def source_query(flow: Flow) -> Query:
    """Return the question whose source address it was then."""
    return Query(address=flow.source, from_ns=flow.first_ns, to_ns=flow.last_ns)


def listener_query(entry: AcceptedFlow) -> Query:
    """Return the question whose listening address it was then."""
    return Query(address=entry.local, from_ns=entry.first_ns, to_ns=entry.last_ns)


def listener_queries(capture: Capture, owners: Mapping[int, CgroupOwner]) -> dict[tuple[int, str], Query]:
    """Return the question whose a pod's listening address was, by cgroup and address, over all accepted there."""
    times: dict[tuple[int, str], tuple[int, int]] = {}
    for entry in capture.accepted:
        if is_ownerless(entry.remote) or owners.get(entry.cgroup, UNKNOWN_OWNER).kind != "pod":
            continue
        first_ns, last_ns = times.get((entry.cgroup, entry.local), (entry.first_ns, entry.last_ns))
        times[entry.cgroup, entry.local] = min(first_ns, entry.first_ns), max(last_ns, entry.last_ns)
    return {
        (cgroup, local): Query(address=local, from_ns=first_ns, to_ns=last_ns)
        for (cgroup, local), (first_ns, last_ns) in times.items()
    }


def uid_query(capture: Capture, uid: str) -> Query:
    """Return the question who a UID is on the capture's node: static pods of several nodes may share one."""
    return Query(pod_uid=uid, node=capture.node_name or None)


def needs_address_lookup(owner: CgroupOwner) -> bool:
    """Return whether only the address can tell the pod of a cgroup.

    The root is included: kernel threads work there for a pod's sockets (MPTCP makes its further subflows so), and on a
    node whose pods have no cgroup v2 every listening socket belongs there.
    """
    return owner.kind in ("root", "unknown")


def is_outside_pods(entry: AcceptedFlow, owner: CgroupOwner, owners: Mapping[int, CgroupOwner]) -> bool:
    """Return whether a listener is known to be outside every pod.

    In the root it is, unless it is the root of a v2 hierarchy that has no pods at all.
    """
    if owner.kind != "root":
        return owner.kind == "host"
    unified = any(other.kind == "pod" for cgroup, other in owners.items() if cgroup & OF_SOCKET)
    return not entry.cgroup & OF_SOCKET or unified


def pod_by_address(answers: Mapping[Query, Answer], query: Query) -> Answer:
    """Return the one pod that had the address then; never a pod on the host's network, which shares it."""
    answer = answers.get(query, NOT_ASKED)
    return answer if answer.kind == "Pod" and not answer.host_network else NOT_ASKED


def conflict_of(pod: Answer, holder: Answer, node_name: str) -> str | None:
    """Return why a pod cannot be at an address that `holder` had for all of that time; None if it can.

    A holder on another node means two nodes on one kernel that share a static pod's UID: the record is that node's.
    """
    if holder.kind == "Node":
        elsewhere = pod.host_network and bool(holder.name) and holder.name != node_name
        return OTHER_NODE if elsewhere and node_name else None
    if holder.kind != "Pod" or holder.uid == pod.uid:
        return None
    if holder.host_network and pod.host_network and holder.node_name == pod.node_name:
        return None
    return OTHER_NODE if node_name and holder.node_name and holder.node_name != node_name else CONFLICT


def named_pod(capture: Capture, owner: CgroupOwner, holder: Answer, answers: Mapping[Query, Answer]) -> NamedPod:
    """Return the pod that a cgroup names; `holder` had the record's address.

    The outermost name decides. If the directory does not know it (the pod of another cluster, in which this one is
    nested) or if an outer name may be hidden, an inner one counts where the address is that pod's own.
    """
    named = [answers.get(uid_query(capture, uid), NOT_ASKED) for uid in owner.uids]
    outermost = named[0]
    if owner.certain and outermost.kind == "Pod":
        return NamedPod(outermost, conflict_of(outermost, holder, capture.node_name))
    by_address = holder if holder.kind == "Pod" and not holder.host_network else NOT_ASKED
    if by_address is not NOT_ASKED and by_address.uid in {pod.uid for pod in named if pod.kind == "Pod"}:
        return NamedPod(by_address)
    if owner.certain or by_address is NOT_ASKED:
        return NamedPod(outermost if owner.certain else NOT_ASKED)
    return NamedPod(by_address, CONFLICT)
