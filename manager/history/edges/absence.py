"""What it means that an edge is not there: not seen and would have been, or not observed, and why. Pure.

A connect would have been seen if every node on which a pod of either end ran was observed for the whole window and lost
nothing. What has no pod in the window's inventory could not connect.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

WOULD_HAVE_BEEN, NOT_OBSERVED = "not_seen_would_have_been", "not_observed"


class Verdict(NamedTuple):
    """What an absent edge means; `reasons` say why it was not observed."""

    verdict: str
    reasons: list[str]


def unobserved_nodes(
    coverage: Mapping[str, Mapping[str, Any]], observation: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Why nothing is proven by what a node did not report, by node; nodes that saw everything are not there."""
    found: dict[str, str] = {}
    for node, one in coverage.items():
        counts = observation.get(node, {})
        lost = sum(n for n in (counts.get("lost") or {}).values() if isinstance(n, int))
        summed = (counts.get("filtered") or {}).get("scan")
        if one["observed"] == "none":
            found[node] = f"node {node} was not observed: {one['reason'] or 'no tracer'}"
        elif one["observed"] == "part":
            found[node] = f"node {node} was observed in part: {one['reason'] or 'gap'}"
        elif lost:
            found[node] = f"node {node} lost {lost} connects"
        elif summed:
            found[node] = f"node {node} knows {summed} connects in sums only: {', '.join(scanning_pods(counts))}"
    return found


def scanning_pods(counts: Mapping[str, Any]) -> list[str]:
    """The pods of whose connects some are known in sums by range of ports only."""
    pods = {one["pod"]["uid"]: one["pod"] for one in counts.get("scan") or () if one["end"] == "source"}
    return [f"{pod.get('namespace') or ''}/{pod.get('name') or uid}" for uid, pod in sorted(pods.items())]


class Absence:
    """Answers for the pairs of one window."""

    def __init__(
        self,
        services: Iterable[Mapping[str, Any]],
        coverage: Mapping[str, Mapping[str, Any]],
        observation: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.nodes_of: dict[str, Sequence[str]] = {one["id"]: one.get("nodes", ()) for one in services}
        self.kinds: dict[str, str] = {one["id"]: one["kind"] for one in services}
        self.coverage = coverage
        self.unobserved = unobserved_nodes(coverage, observation)

    def reasons(self, vertex: str) -> list[str]:
        """Why a vertex was not observed; empty if it was."""
        nodes = self.nodes_of.get(vertex, ())
        unknown = [f"node {node} is in no report" for node in nodes if node not in self.coverage]
        return unknown + [self.unobserved[node] for node in nodes if node in self.unobserved]

    def verdict(self, source: str, destination: str) -> Verdict:
        """What it means that no edge leads from one vertex to the other."""
        if not self.coverage:
            return Verdict(NOT_OBSERVED, ["no node was observed in this window"])
        if source not in self.nodes_of and self.unobserved:
            return Verdict(NOT_OBSERVED, sorted(self.unobserved.values()))
        reasons = [*self.reasons(source), *self.reasons(destination)]
        return Verdict(NOT_OBSERVED, sorted(set(reasons))) if reasons else Verdict(WOULD_HAVE_BEEN, [])
