"""The edges of one or more windows, read from the JSON of their maps, with what was not observed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

Ends = Literal["both", "source"]


class EdgeKey(NamedTuple):
    """Which edge: ids of two vertices of the map, the destination's port, and the protocol."""

    source: str
    destination: str
    port: str
    protocol: str = "TCP"

    @property
    def text(self) -> str:
        """The edge as people write it: `shop/frontend -> shop/cart:8080`."""
        return f"{short_name(self.source)} -> {short_name(self.destination)}:{self.port}"


@dataclass(slots=True)
class EdgeCounts:
    """The sums of an edge; `accepted` is None where no listener was observed, times are in seconds."""

    attempts: int = 0
    established: int = 0
    failed: int = 0
    accepted: int | None = None
    opened_before: bool = False
    in_sums: bool = False
    last_errno: int | None = None
    handshake_sum: float = 0.0
    handshake_max: float = 0.0
    backends: dict[str, int] = field(default_factory=dict)

    @property
    def unfinished(self) -> int:
        """Attempts whose outcome came after the window's end."""
        return max(0, self.attempts - self.established - self.failed)

    @property
    def ratio(self) -> float | None:
        """Established per attempt, at most 1; None without an attempt."""
        return min(1.0, self.established / self.attempts) if self.attempts else None

    @property
    def handshake_mean(self) -> float | None:
        """Seconds per established connection."""
        return self.handshake_sum / self.established if self.established else None

    def add(self, edge: Mapping[str, Any]) -> None:
        """Add an edge of a map."""
        self.attempts += edge["attempts"]
        self.established += edge["established"]
        self.failed += edge["failed"]
        self.opened_before |= edge["openedBefore"]
        self.in_sums |= edge.get("inSums", False)
        self.last_errno = edge["lastErrno"] or self.last_errno
        if edge["accepted"] is not None:
            self.accepted = (self.accepted or 0) + edge["accepted"]
        times = edge.get("handshakeSeconds") or {}
        self.handshake_sum += times.get("sum", 0.0)
        self.handshake_max = max(self.handshake_max, times.get("max", 0.0))
        for backend in edge.get("backends", ()):
            self.backends[backend["pod"]] = self.backends.get(backend["pod"], 0) + backend["accepted"]


@dataclass(slots=True)
class Vertex:
    """A service, workload, node or address of the map."""

    id: str
    kind: str
    namespace: str
    name: str
    pods: int = 0
    nodes: set[str] = field(default_factory=set)
    workloads: set[tuple[str, str, str]] = field(default_factory=set)  # kind, namespace, name


@dataclass(slots=True)
class Observation:
    """The sum of some windows; `blind` has for each node that was not observed whole the reasons."""

    windows: list[str] = field(default_factory=list)
    seconds: float = 0.0
    start_ns: int = 0
    end_ns: int = 0
    edges: dict[EdgeKey, EdgeCounts] = field(default_factory=dict)
    vertices: dict[str, Vertex] = field(default_factory=dict)
    blind: dict[str, list[str]] = field(default_factory=dict)
    aggregated: int = 0

    def nodes_of(self, vertex_id: str) -> set[str]:
        """The nodes of a vertex's pods; empty for an address."""
        vertex = self.vertices.get(vertex_id)
        return vertex.nodes if vertex else set()

    def blind_ends(self, key: EdgeKey, ends: Ends = "both") -> list[str]:
        """Why the edge may have connections that nobody saw, per node of its ends."""
        nodes = self.nodes_of(key.source) | (self.nodes_of(key.destination) if ends == "both" else set())
        return [f"{node} {reason}" for node in sorted(nodes) for reason in self.blind.get(node, ())]


def observe(maps: Sequence[Mapping[str, Any]]) -> Observation:
    """Add up the maps of some windows; InputError if one is no map of a window."""
    total = Observation()
    for one in maps:
        try:
            add_map(total, one)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"a map has no usable {error}: expected the JSON of GET …/map of one window") from error
    return total


def add_map(total: Observation, one: Mapping[str, Any]) -> None:
    """Add one window."""
    window = one["window"]
    start_ns, end_ns = parse_rfc3339(window["start"]), parse_rfc3339(window["end"])
    if window["id"] in total.windows:
        raise InputError(f"window {window['id']} is named twice: expected different windows")
    total.start_ns = min(total.start_ns or start_ns, start_ns)
    total.end_ns = max(total.end_ns, end_ns)
    total.windows.append(window["id"])
    total.seconds += (end_ns - start_ns) / NS_PER_SECOND
    for service in one["services"]:
        add_vertex(total, service)
    for edge in one["edges"]:
        key = EdgeKey(edge["source"], edge["destination"], edge["port"], edge["type"])
        total.edges.setdefault(key, EdgeCounts()).add(edge)
    for node, reasons in blind_nodes(one).items():
        total.blind.setdefault(node, []).extend(f"{reason} in window {window['id']}" for reason in reasons)
    total.aggregated += sum(one.get("aggregated", {}).values())


def add_vertex(total: Observation, service: Mapping[str, Any]) -> None:
    """Add a vertex; one of several windows has the most pods and all nodes of them."""
    vertex = total.vertices.setdefault(
        service["id"], Vertex(service["id"], service["kind"], service["namespace"], service["name"])
    )
    vertex.pods = max(vertex.pods, service["pods"])
    vertex.nodes |= set(service.get("nodes", ()))
    vertex.workloads |= {(one["kind"], one["namespace"], one["name"]) for one in service["workloads"]}


def blind_nodes(one: Mapping[str, Any]) -> dict[str, list[str]]:
    """Why connections of a node may be missing in a map: by node, in words."""
    found: dict[str, list[str]] = {}
    for node, coverage in one["coverage"].items():
        if coverage["observed"] != "whole":
            seen = "not observed" if coverage["observed"] == "none" else "observed in part"
            found.setdefault(node, []).append(f"{seen} ({coverage.get('reason') or 'no reason given'})")
    for node, counts in one["observation"].items():
        for group in ("lost", "dropped", "outcomesLost"):
            count = total_of(counts.get(group))
            if count:
                found.setdefault(node, []).append(f"{group} {count}")
    return found


def total_of(value: object) -> int:
    """The sum of a number, or of a group of them."""
    if isinstance(value, Mapping):
        return sum(total_of(member) for member in value.values())
    return int(value) if isinstance(value, int | float) else 0


def short_name(vertex_id: str) -> str:
    """`namespace/name` of a service or workload, the address or `node/name` of others."""
    kind, _, rest = vertex_id.partition("/")
    return rest if kind != "node" else vertex_id


def union_of_edges(observations: Iterable[Observation]) -> list[EdgeKey]:
    """Every edge of some observations, once, in order."""
    return sorted({key for one in observations for key in one.edges})
