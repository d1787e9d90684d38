"""Maps of windows as the manager gives them, made of rows."""

from typing import Any

from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

START_NS = parse_rfc3339("2026-11-29T12:00:00Z")
SERVICES = {
    "frontend": ("node-a",),
    "cart": ("node-a", "node-b"),
    "catalog": ("node-b",),
    "db": ("node-b",),
    "load": ("node-a",),
}


def vertex(name: str) -> str:
    """The id of a vertex of namespace shop."""
    return f"service/shop/{name}"


def edge(
    source: str, destination: str, attempts: int, established: int | None = None, port: int = 8080, **members: Any
) -> dict[str, Any]:
    """An edge of the map; all attempts established unless said otherwise."""
    done = attempts if established is None else established
    return {
        "source": vertex(source),
        "destination": vertex(destination),
        "port": str(port),
        "type": "TCP",
        "attempts": attempts,
        "established": done,
        "failed": attempts - done,
        "lastErrno": 110 if done < attempts else None,
        "openedBefore": False,
        "handshakeSeconds": {"sum": 0.001 * done, "max": 0.002},
        "accepted": done,
        "bothEnds": done > 0,
        "inSums": False,
        "sourcePods": [f"shop/{source}-1"],
        "backends": [{"pod": f"shop/{destination}-1", "accepted": done}] if done else [],
        "reasons": [],
    } | members


def window_map(
    edges: list[dict[str, Any]], minute: int = 0, seconds: int = 60, blind: dict[str, Any] | None = None, lost: int = 0
) -> dict[str, Any]:
    """The map of one window; `blind` has the coverage of nodes that were not observed whole, `lost` is node-b's."""
    start_ns = START_NS + minute * 60 * NS_PER_SECOND
    window = Window(start_ns, start_ns + seconds * NS_PER_SECOND)
    whole = {"observed": "whole", "reason": None, "start": None, "end": None}
    return {
        "window": window.wire() | {"id": window.id},
        "services": [
            {
                "id": vertex(name),
                "name": name,
                "namespace": "shop",
                "kind": "Service",
                "pods": 2 if name == "cart" else 1,
                "workloads": [{"kind": "Deployment", "namespace": "shop", "name": name, "uid": f"dep-{name}"}],
                "nodes": list(nodes),
            }
            for name, nodes in SERVICES.items()
        ],
        "edges": edges,
        "coverage": {"node-a": whole, "node-b": whole} | (blind or {}),
        "observation": {"node-a": {"lost": {}}, "node-b": {"lost": {"ring_full": lost} if lost else {}}},
        "aggregated": {"connections": 0, "notJoined": 0, "acceptedNotJoined": 0},
    }


BASELINE = [
    edge("load", "frontend", 60),
    edge("frontend", "cart", 46),
    edge("frontend", "catalog", 30),
    edge("cart", "db", 20, port=5432),
    edge("catalog", "db", 1, port=5432),
]


def changed(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The baseline's edges, some of them replaced or added."""
    by_key = {(one["source"], one["destination"], one["port"]): one for one in [*BASELINE, *changes]}
    return list(by_key.values())
