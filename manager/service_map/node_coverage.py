"""Which nodes were watched in a window, and why others were not: without this, no line could mean anything. Pure.

A node is watched `whole`, in `part`, or not at all (`none`), with the reason: what its agent told, or `no_report` for a
node of the cluster that sent nothing for the window.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ORDER = ("none", "part", "whole")
NO_TRACER = "none"


def of_counts(counts: Mapping[str, Any]) -> dict[str, Any]:
    """How one report says that its node was watched; a report that does not say is of the whole window."""
    gap = counts.get("gap")
    observed = counts.get("observed")
    times = observed if isinstance(observed, Mapping) else {}
    seen = "part" if gap else "whole"
    state = "none" if counts.get("tracer") == NO_TRACER else seen
    return {"observed": state, "reason": gap, "start": times.get("start"), "end": times.get("end")}


def coverage(reports: Sequence[tuple[str, Mapping[str, Any]]], nodes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By node, sorted; of several reports of one node the one that saw most counts."""
    found = {name: {"observed": "none", "reason": "no_report", "start": None, "end": None} for name in nodes}
    told: set[str] = set()
    for name, counts in reports:
        new = of_counts(counts)
        if name not in told or ORDER.index(new["observed"]) > ORDER.index(found[name]["observed"]):
            found[name] = new
        told.add(name)
    return dict(sorted(found.items()))


def watched(found: Mapping[str, Mapping[str, Any]], *states: str) -> set[str]:
    """The nodes in one of the states."""
    return {name for name, one in found.items() if one["observed"] in states}
