"""Compares what the manager shows with the connects that the lab's pods made."""

from collections.abc import Iterable, Mapping
from typing import Any

Key = tuple[str, str, str]


def workload_of(pod: str, pods: Mapping[str, str]) -> str:
    """The workload of a pod, else the pod's own name."""
    return pods.get(pod, pod)


def seen_edges(connections: Iterable[Mapping[str, Any]], pods: Mapping[str, str]) -> dict[Key, dict[str, Any]]:
    """Sums per (workload, destination address, port) of the connections that the manager returned."""
    edges: dict[Key, dict[str, Any]] = {}
    for connection in connections:
        kubernetes = connection["kubernetes"]
        source = workload_of((kubernetes.get("sourcePod") or {}).get("name") or "?", pods)
        key = (source, connection["destinationIP"], str(connection["destinationPort"]))
        empty = {"attempts": 0, "established": 0, "failed": 0, "openedBefore": False, "kinds": set(), "uids": set()}
        edge = edges.setdefault(key, empty)
        for name in ("attempts", "established", "failed"):
            edge[name] += connection[name]
        edge["openedBefore"] |= connection["openedBefore"]
        edge["kinds"].add((connection.get("destination") or {}).get("kind"))
        for name in ("destinationService", "destinationPod"):
            if kubernetes.get(name):
                edge["uids"].add(kubernetes[name].get("uid"))
    return edges


def shows_truth(
    truth: Mapping[str, Any], edge: Mapping[str, Any] | None, uids: Mapping[tuple[str, str], set[str]]
) -> bool:
    """Return whether the edge has the true counts, and the true kind and owner of the destination."""
    if edge is None:
        return False
    kind, name = truth["destination"]["kind"], truth["destination"]["name"]
    owners = uids.get((kind, name), set())
    owned = edge["uids"] <= owners and bool(edge["uids"]) == (kind in {"Service", "Pod"})
    counts = all(edge[field] == truth[field] for field in ("attempts", "established", "failed", "openedBefore"))
    return counts and edge["kinds"] == {kind} and owned


def accepting_ends(shown: Mapping[str, Any], workloads: Mapping[str, str]) -> dict[Key, dict[str, Any]]:
    """What the accepting end reported for each edge of the map, by (workload, destination name, port)."""
    names = {item["id"]: workload_of(item["name"], workloads) for item in shown["services"]}
    return {
        (names[edge["source"]], names[edge["destination"]], str(edge["port"])): {
            "accepted": edge["accepted"],
            "bothEnds": edge["bothEnds"],
        }
        for edge in shown["edges"]
    }


def compare_edges(
    truths: list[dict[str, Any]],
    connections: Iterable[Mapping[str, Any]],
    pods: Mapping[str, str],
    uids: Mapping[tuple[str, str], set[str]],
) -> dict[str, Any]:
    """The counts of the demo's JSON, and `edges`: each true edge beside what was seen of it."""
    seen = seen_edges(connections, pods)
    rows, keys = [], set()
    for truth in truths:
        key = (truth["source"], truth["destination"]["address"], str(truth["port"]))
        keys.add(key)
        edge = seen.get(key)
        shown = {name: edge[name] for name in ("attempts", "established", "failed")} if edge else None
        rows.append({**truth, "seen": shown, "found": shows_truth(truth, edge, uids)})
    return {
        "trueEdges": len(truths),
        "foundEdges": sum(row["found"] for row in rows),
        "wrongEdges": len({key for key in seen if key not in keys})
        + sum(row["seen"] is not None and not row["found"] for row in rows),
        "attempts": {
            "made": sum(truth["attempts"] for truth in truths),
            "seen": sum(edge["attempts"] for edge in seen.values()),
        },
        "edges": rows,
    }
