"""Filter rules: at most one reason per flow, checked in the order of `source_reason`."""

from podsonar.model import Answer, Flow

RULES = ("source_not_a_pod", "loopback", "own_traffic", "other_node")  # beside those of the selection


def is_loopback(address: str) -> bool:
    """Whether an address, in its canonical text, is in 127.0.0.0/8 or is ::1."""
    return address.startswith("127.") or address == "::1"


def source_reason(
    flow: Flow, pod_uid: str | None, answer: Answer | None, node_name: str, own_pod_uid: str | None
) -> str | None:
    """Return the rule that leaves a flow out, or None.

    Only pods are sources; loopback stays inside a pod; the agent's own traffic is not a finding; a pod of another node
    (two nodes on one kernel) is reported by that node's agent; the selection's rules come from the directory.
    """
    if pod_uid is None:
        return "source_not_a_pod"
    if is_loopback(flow.destination):
        return "loopback"
    if pod_uid == own_pod_uid:
        return "own_traffic"
    if answer is None or answer.kind != "Pod":
        return None
    if answer.node_name and answer.node_name != node_name:
        return "other_node"
    return answer.excluded
