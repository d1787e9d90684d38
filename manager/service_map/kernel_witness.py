"""Whether the kernel's own counters show that a node's program saw everything, and whether all three agree. Pure."""

from collections.abc import Mapping
from typing import Any

from manager.service_map.join_state import Recall


def total(counts: object) -> int:
    """The sum of a group of counts; 0 for what is none."""
    return sum(n for n in counts.values() if isinstance(n, int)) if isinstance(counts, Mapping) else 0


def kernel_agreement(counts: Mapping[str, Any]) -> dict[str, Any]:
    """What the kernel's counters say of a node: `agrees`, `differs`, `part` (not every namespace) or `none`."""
    witness = counts.get("witness")
    if not isinstance(witness, Mapping):
        return {"state": "none", "unseen": 0, "notComparable": 0}
    unseen, left_out = total(witness.get("unseen")), total(witness.get("notComparable"))
    state = "differs" if unseen else "part" if left_out else "agrees"
    return {"state": state, "unseen": unseen, "notComparable": left_out}


def add_agreement(
    nodes: Mapping[str, dict[str, Any]], observation: Mapping[str, Mapping[str, Any]], recall: Mapping[str, Recall]
) -> None:
    """Add to each node what the kernel says, and whether nothing was missed.

    That is so where the node was observed for the whole window, nothing is lost, each connection accepted by it is
    explained by a client or cannot be compared, and the kernel's counters agree.
    """
    for name, node in nodes.items():
        counts = observation.get(name, {})
        node["kernel"] = kernel_agreement(counts)
        accepted = counts.get("accepted")
        lost = total(counts.get("lost")) + total(accepted.get("lost") if isinstance(accepted, Mapping) else None)
        ends = recall.get(name)
        explained = ends is None or ends.accepted == ends.explained
        whole = node["observed"] == "whole" and node["kernel"]["state"] == "agrees"
        node["nothingMissed"] = whole and not lost and explained
