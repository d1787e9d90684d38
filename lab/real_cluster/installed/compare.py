"""What the map of a window shows of the shop, beside what the shop's pods did. Pure."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from lab.real_cluster.installed.shop import NAMESPACE, Edge

Key = tuple[str, str, int]


def workload_name(place: Mapping[str, Any]) -> str:
    """The workload or service of a map's node; a job goes by its cron job's name, the outside by its kind."""
    if place["kind"] == "External":
        return "outside"
    name: str = place["name"]
    head, _, tail = name.rpartition("-")
    return head if head and tail.isdigit() else name


def shown_edges(found: Mapping[str, Any]) -> dict[Key, Edge]:
    """The map's edges that touch the shop, by (source, target, port), summed where a workload has several nodes."""
    places = {place["id"]: place for place in found["services"]}
    edges: dict[Key, Edge] = {}
    for one in found["edges"]:
        if NAMESPACE not in {places[one[end]]["namespace"] for end in ("source", "destination")}:
            continue  # Podsonar's own, and the name service's
        source, target = workload_name(places[one["source"]]), workload_name(places[one["destination"]])
        key = (source, target, int(one["port"]))
        old = edges.get(key, Edge(*key, 0, 0, 0))
        made = (old.attempts + one["attempts"], old.established + one["established"], old.failed + one["failed"])
        edges[key] = Edge(*key, *made)
    return edges


def differences(expected: Sequence[Edge], found: Mapping[str, Any], but: Container[str] = ()) -> list[str]:
    """A sentence for every edge that is missing, wrong or too much; none when the map is the truth.

    `but`: sources whose edges are compared elsewhere.
    """
    shown = {key: edge for key, edge in shown_edges(found).items() if edge.source not in but}
    told = []
    for edge in expected:
        seen = shown.pop((edge.source, edge.target, edge.port), None)
        if seen != edge:
            told.append(
                f"{edge.source} → {edge.target}:{edge.port}: expected {counts(edge)}, the map shows {counts(seen)}"
            )
    return told + [f"{e.source} → {e.target}:{e.port}: not made, the map shows {counts(e)}" for e in shown.values()]


def counts(edge: Edge | None) -> str:
    """The counts of an edge in words."""
    if edge is None:
        return "nothing"
    return f"{edge.attempts} attempts ({edge.established} established, {edge.failed} failed)"


def made_in(lines: Iterable[Mapping[str, Any]], window: str) -> dict[str, int]:
    """Attempts by address that pods themselves report for a window."""
    totals: dict[str, int] = {}
    for line in lines:
        if line["window"] == window:
            totals[line["address"]] = totals.get(line["address"], 0) + line["attempts"]
    return totals
