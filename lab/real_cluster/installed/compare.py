"""Compares a window's map of the shop with the connects that the shop's pods made. Pure."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from lab.real_cluster.installed.shop import NAMESPACE, ShopEdge

Key = tuple[str, str, int]


def workload_name(place: Mapping[str, Any]) -> str:
    """The workload or service of a map node; a job has its cron job's name, the outside its kind."""
    if place["kind"] == "External":
        return "outside"
    name: str = place["name"]
    head, _, tail = name.rpartition("-")
    return head if head and tail.isdigit() else name


def map_edges(found: Mapping[str, Any]) -> dict[Key, ShopEdge]:
    """The map's edges that touch the shop, by (source, target, port), summed if a workload has several nodes."""
    places = {place["id"]: place for place in found["services"]}
    edges: dict[Key, ShopEdge] = {}
    for edge in found["edges"]:
        if NAMESPACE not in {places[edge[end]]["namespace"] for end in ("source", "destination")}:
            continue  # Podsonar's own, and DNS
        source, target = workload_name(places[edge["source"]]), workload_name(places[edge["destination"]])
        key = (source, target, int(edge["port"]))
        edge_before = edges.get(key, ShopEdge(*key, 0, 0, 0))
        made = (
            edge_before.attempts + edge["attempts"],
            edge_before.established + edge["established"],
            edge_before.failed + edge["failed"],
        )
        edges[key] = ShopEdge(*key, *made)
    return edges


def differences(
    expected: Sequence[ShopEdge], found: Mapping[str, Any], except_sources: Container[str] = ()
) -> list[str]:
    """One sentence for every edge that is missing, wrong or unexpected; empty if the map is the truth.

    `except_sources`: sources whose edges are compared elsewhere.
    """
    shown = {key: edge for key, edge in map_edges(found).items() if edge.source not in except_sources}
    lines = []
    for edge in expected:
        seen = shown.pop((edge.source, edge.target, edge.port), None)
        if seen != edge:
            lines.append(
                f"{edge.source} → {edge.target}:{edge.port}: expected {counts(edge)}, the map shows {counts(seen)}"
            )
    return lines + [f"{e.source} → {e.target}:{e.port}: not made, the map shows {counts(e)}" for e in shown.values()]


def counts(edge: ShopEdge | None) -> str:
    """The counts of an edge in words."""
    if edge is None:
        return "nothing"
    return f"{edge.attempts} attempts ({edge.established} established, {edge.failed} failed)"


def attempts_by_address(lines: Iterable[Mapping[str, Any]], window: str) -> dict[str, int]:
    """Attempts by address that the pods themselves report for a window."""
    totals: dict[str, int] = {}
    for line in lines:
        if line["window"] == window:
            totals[line["address"]] = totals.get(line["address"], 0) + line["attempts"]
    return totals
