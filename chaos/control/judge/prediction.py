"""What a fault will touch, from observed edges: direct edges, exposed services within some hops, unknowns. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from chaos.control.judge.edge_pattern import parse_edge
from chaos.control.judge.observed_edges import EdgeKey, Observation, Vertex, short_name
from podsonar.errors import InputError


class Effect(StrEnum):
    """What a fault does to an edge."""

    BREAKS = "breaks"
    DEGRADES = "degrades"
    SLOWS = "slows"


Direction = Literal["in", "out", "both"]

# Which edges of the pods that are hit a fault touches, and whether an edge breaks when all of the pods are hit.
FAULTS: Mapping[str, tuple[Direction, Effect]] = {
    "pod-delete": ("both", Effect.BREAKS),
    "container-kill": ("both", Effect.BREAKS),
    "pod-cpu-hog": ("in", Effect.DEGRADES),
    "pod-memory-hog": ("in", Effect.DEGRADES),
    "pod-network-loss": ("both", Effect.DEGRADES),
    "pod-network-latency": ("both", Effect.SLOWS),
    "pod-network-partition": ("both", Effect.BREAKS),
    "pod-connect-refused": ("out", Effect.BREAKS),
    "pod-dns-error": ("out", Effect.BREAKS),
    "edge-loss": ("both", Effect.DEGRADES),
    "edge-latency": ("both", Effect.SLOWS),
    "edge-partition": ("both", Effect.BREAKS),
}
EDGE_FAULTS = frozenset(name for name in FAULTS if name.startswith("edge-"))  # of the edges to one Service alone


class Target(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a fault hits: a Service or workload by `namespace/name`, or an edge."""

    service: str = ""
    workload: str = ""
    edge: str = ""


class PlannedFault(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A fault of an experiment file."""

    fault: str
    target: Target
    affected_percentage: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    hops: Annotated[int, msgspec.Meta(ge=1, le=8)] = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a fault will touch. `exposed` has for each service the hops to the target; `unknown` is sentences."""

    hit: Sequence[Vertex]
    direct: Mapping[EdgeKey, Effect]
    exposed: Mapping[str, int]
    unknown: Sequence[str]
    services: int
    affected_percentage: int

    @property
    def summary(self) -> str:
        """One line: how many of what."""
        workloads = {workload for vertex in self.hit for workload in vertex.workloads}
        return (
            f"{len(self.direct)} edges, {len(workloads)} workloads, {len(self.exposed)} of {self.services} services "
            f"exposed, {len(self.unknown)} unknown"
        )


def predict(planned: PlannedFault, seen: Observation) -> Prediction:
    """The prediction from observed windows; InputError if nothing of that name was observed."""
    if planned.fault not in FAULTS:
        raise InputError(f"fault is {planned.fault!r}: expected one of {', '.join(FAULTS)}")
    direction, worst = FAULTS[planned.fault]
    effect = Effect.DEGRADES if worst is Effect.BREAKS and planned.affected_percentage < 100 else worst
    if planned.target.edge:
        pattern = parse_edge(planned.target.edge, "target.edge")
        named = [key for key in seen.edges if pattern.matches(key)]
        direct = {key: effect for key in sorted(seen.edges) if any(same_pods_edge(key, one, seen) for one in named)}
        roots = {key.source for key in direct}
    else:
        roots = hit_vertices(planned.target, seen)
        direct = {key: effect for key in sorted(seen.edges) if touches(key, roots, direction)}
    if not roots:
        raise InputError(f"target {target_text(planned.target)!r} was not observed: expected a name on the map")
    exposed = callers_of(roots, seen, planned.hops)
    return Prediction(
        hit=[seen.vertices[one] for one in sorted(roots) if one in seen.vertices],
        direct=direct,
        exposed={short_name(one): hops for one, hops in sorted(exposed.items(), key=lambda pair: (pair[1], pair[0]))},
        unknown=unknowns(direct, seen),
        services=sum(vertex.kind in {"Service", "Workload"} for vertex in seen.vertices.values()),
        affected_percentage=planned.affected_percentage,
    )


def together(predictions: Sequence[Prediction]) -> Prediction:
    """What several targets of one fault touch; an edge breaks if it breaks by one of them."""
    hit = {vertex.id: vertex for one in predictions for vertex in one.hit}
    direct: dict[EdgeKey, Effect] = {}
    exposed: dict[str, int] = {}
    for one in predictions:
        for key, effect in one.direct.items():
            direct[key] = Effect.BREAKS if Effect.BREAKS in {effect, direct.get(key)} else effect
        for name, hops in one.exposed.items():
            if name not in {short_name(vertex) for vertex in hit}:
                exposed[name] = min(hops, exposed.get(name, hops))
    unknown = dict.fromkeys(sentence for one in predictions for sentence in one.unknown)
    return Prediction(
        hit=list(hit.values()),
        direct=direct,
        exposed=exposed,
        unknown=list(unknown),
        services=max((one.services for one in predictions), default=0),
        affected_percentage=max((one.affected_percentage for one in predictions), default=100),
    )


def hit_vertices(target: Target, seen: Observation) -> set[str]:
    """The vertices of the target's pods: each Service that leads to one of its workloads, too."""
    wanted = [name for name in (target.service, target.workload) if name]
    if len(wanted) != 1:
        raise InputError("target: expected one of service, workload, edge")
    kind = "Service" if target.service else "Workload"
    named = {one.id: one for one in seen.vertices.values() if short_name(one.id) == wanted[0]}
    roots = {one for one, vertex in named.items() if vertex.kind == kind}
    workloads = {workload for one in roots for workload in seen.vertices[one].workloads}
    if target.workload:
        namespace, _, name = target.workload.partition("/")
        workloads |= {
            found for one in seen.vertices.values() for found in one.workloads if found[1:] == (namespace, name)
        }
    return roots | {one.id for one in seen.vertices.values() if workloads & one.workloads}


def same_pods_edge(key: EdgeKey, named: EdgeKey, seen: Observation) -> bool:
    """Whether an edge is a named one, or that of another Service with the same pods to the same destination."""
    if key.source == named.source or key[1:] != named[1:]:
        return key == named
    ends = [seen.vertices[one].workloads for one in (key.source, named.source) if one in seen.vertices]
    return len(ends) == 2 and bool(ends[0] & ends[1])


def target_text(target: Target) -> str:
    """The target as it was named."""
    return target.edge or target.service or target.workload


def touches(key: EdgeKey, hit: set[str], direction: Direction) -> bool:
    """Whether a fault of that direction at some vertices touches an edge."""
    into, out = key.destination in hit, key.source in hit
    return (into and direction in {"in", "both"}) or (out and direction in {"out", "both"})


def callers_of(roots: set[str], seen: Observation, hops: int) -> dict[str, int]:
    """Who reaches the roots, directly or through others, and in how many hops."""
    callers: dict[str, set[str]] = {}
    for key in seen.edges:
        callers.setdefault(key.destination, set()).add(key.source)
    found: dict[str, int] = {}
    border = set(roots)
    for distance in range(1, hops + 1):
        border = {caller for one in border for caller in callers.get(one, ())} - roots - found.keys()
        found |= dict.fromkeys(border, distance)
    return found


def unknowns(direct: Mapping[EdgeKey, Effect], seen: Observation) -> list[str]:
    """What the prediction cannot know: nodes not observed whole, edges of which only sums are known."""
    found = [f"{node} {reason}" for node, reasons in sorted(seen.blind.items()) for reason in reasons]
    found += [f"{key.text}: accepting end known in sums only" for key in direct if seen.edges[key].in_sums]
    if seen.aggregated:
        found.append(f"{seen.aggregated} connections have no edge of their own")
    return found
