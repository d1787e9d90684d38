"""Sums of what was beyond the share of a pod: `scan` in the observation, by pod, end and range of ports."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from node_agent.attribution.body.json_format import reference
from node_agent.attribution.filters import SCAN
from node_agent.attribution.flow_decisions import FlowGroupDecision
from node_agent.capture.fair_share import PORT_RANGES
from podsonar.directory_answer import Answer

MOST_LISTED = 64  # the largest; the counts of all are in `filtered`

End = Literal["source", "destination"]


class ScanSums:
    """Counts by pod, end and first port of the range."""

    def __init__(self) -> None:
        self.pods: dict[str, Answer] = {}
        self.counts: dict[tuple[str, End, int], Counter[str]] = {}

    def add(self, pod: Answer, end: End, first_port: int, counts: Mapping[str, int]) -> None:
        """Add what a pod did, or accepted, at ports of a range."""
        uid = pod.uid or ""
        self.pods[uid] = pod
        self.counts.setdefault((uid, end, first_port), Counter()).update(counts)

    def add_flows(self, decisions: Iterable[FlowGroupDecision]) -> None:
        """Add the connecting end."""
        for decision in decisions:
            if decision.reason == SCAN:
                for flow in decision.group.flows:
                    counts = {"attempts": flow.attempts, "established": flow.established, "failed": flow.failed}
                    self.add(decision.source, "source", flow.port, counts)

    def member(self) -> dict[str, list[dict[str, Any]]]:
        """Return the member of the observation: the largest ones, ordered by pod, end and ports; none without a sum."""
        if not self.counts:
            return {}
        largest = sorted(self.counts.items(), key=lambda entry: (-sum(entry[1].values()), entry[0]))[:MOST_LISTED]
        listed = [
            {"pod": reference(self.pods[uid]), "end": end, "ports": PORT_RANGES.get(port, str(port)), **counts}
            for (uid, end, port), counts in sorted(largest)
        ]
        return {"scan": listed}
