"""Why a flow is left out on purpose: exactly one reason per flow, checked in the order of `source_reason`."""

from node_agent.capture.fair_share import ANY_ADDRESSES
from node_agent.capture.pod_cgroup import CgroupOwner
from podsonar.directory_answer import Answer
from podsonar.model import Flow

SCAN = "scan"
RULES = ("source_not_a_pod", "loopback", "own_traffic", "other_node", SCAN)  # beside those of the selection


def is_loopback(address: str) -> bool:
    """Return whether an address, in its canonical text, is in 127.0.0.0/8 or is ::1."""
    return address.startswith("127.") or address == "::1"


def is_ownerless(address: str) -> bool:
    """Return whether nobody can be asked for: a loopback address, or the sum of what was beyond a pod's share."""
    return address in ANY_ADDRESSES or is_loopback(address)


def is_own(owner: CgroupOwner, source: Answer, own_pod_uid: str | None) -> bool:
    """Return whether a source is the agent's own pod, by any name of its cgroup or by its UID."""
    return own_pod_uid is not None and (own_pod_uid in owner.uids or own_pod_uid == source.uid)


def source_reason(
    flow: Flow, owner: CgroupOwner, source: Answer, node_name: str, own_pod_uid: str | None
) -> str | None:
    """Return the rule that leaves a flow out, or None.

    Only what is known to be the node's own process is no pod; loopback stays inside one; the agent's own traffic is no
    finding; a pod of another node (two nodes on one kernel) is reported by that node's agent; the selection's own rules
    come from the directory.
    """
    if owner.kind == "host" or (owner.kind == "root" and source.uid is None):
        return "source_not_a_pod"
    if is_loopback(flow.destination):
        return "loopback"
    if is_own(owner, source, own_pod_uid):
        return "own_traffic"
    if source.kind != "Pod":
        return None
    if node_name and source.node_name and source.node_name != node_name:
        return "other_node"
    return source.excluded
