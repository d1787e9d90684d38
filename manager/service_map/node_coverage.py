"""Which nodes were observed in a window, and why others were not. Pure.

A node is observed `whole`, in `part`, or not at all (`none`), with the reason: what its agent reported, or
`no_report` for a cluster node that sent nothing for the window, `batch_missing` where the numbers of its sender show
that one of its batches has not come.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

ORDER = ("none", "part", "whole")
NO_TRACER = "none"
NOTHING_MISSING: Mapping[str, int] = MappingProxyType({})


def coverage_of_report(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The coverage in one report; a report without a gap covers the whole window."""
    gap = counts.get("gap")
    observed = counts.get("observed")
    times = observed if isinstance(observed, Mapping) else {}
    seen = "part" if gap else "whole"
    state = "none" if counts.get("tracer") == NO_TRACER else seen
    return {"observed": state, "reason": gap, "start": times.get("start"), "end": times.get("end")}


def node_coverage(
    reports: Sequence[tuple[str, Mapping[str, Any]]], nodes: Iterable[str], missing: Mapping[str, int] = NOTHING_MISSING
) -> dict[str, dict[str, Any]]:
    """By node, sorted; of several reports of one node the one that saw most counts.

    `missing`: how many of a node's batches have not come.
    """
    found: dict[str, dict[str, Any]] = {
        name: {"observed": "none", "reason": "no_report", "start": None, "end": None} for name in nodes
    }
    reported: set[str] = set()
    for name, counts in reports:
        new = coverage_of_report(counts)
        if name not in reported or ORDER.index(new["observed"]) > ORDER.index(found[name]["observed"]):
            found[name] = new
        reported.add(name)
    for name, number in missing.items():
        before = found.get(name, {"observed": "none", "reason": None, "start": None, "end": None})
        if before["observed"] == "whole":
            before = before | {"observed": "part", "reason": "batch_missing"}
        elif before["reason"] in (None, "no_report"):
            before = before | {"reason": "batch_missing"}
        found[name] = before | {"missingBatches": number}
    return dict(sorted(found.items()))


def nodes_in_state(found: Mapping[str, Mapping[str, Any]], *states: str) -> set[str]:
    """The nodes in one of the states."""
    return {name for name, one in found.items() if one["observed"] in states}
