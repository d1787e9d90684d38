"""One run: what was predicted from the baseline against what was observed in the fault, edge by edge. Pure."""

from collections.abc import Mapping
from typing import Any

from bench.predictions.causes import Caller, Counts, why_held, why_missed, why_unforeseen, why_unharmed
from chaos.control.judge.impact import HARM, Impact, State, impacts_of
from chaos.control.judge.observed_edges import EdgeKey, Observation, observe, short_name
from chaos.control.judge.prediction import Effect, PlannedFault, Prediction, predict

TOUCHED = HARM | {State.NEW, State.SURGING, State.SLOW}
AS_PREDICTED = {
    Effect.BREAKS: frozenset({State.BROKEN, State.SILENT}),
    Effect.DEGRADES: frozenset({State.DEGRADED, State.BROKEN, State.SILENT}),
    Effect.SLOWS: frozenset({State.SLOW}),
}

Programs = Mapping[str, Counts]
Map = Mapping[str, Any]


def compare(planned: PlannedFault, maps: tuple[Map, Map], programs: tuple[Programs, Programs]) -> dict[str, Any]:
    """The run's edges, misses, surplus and exposed services; pairs are of the baseline and of the fault.

    A miss changed without having been predicted; surplus was predicted and did not change. Programs count by workload.
    """
    before, then = observe([maps[0]]), observe([maps[1]])
    prediction = predict(planned, before)
    edges = [edge_of(one, prediction, (before, then), maps, programs) for one in impacts_of(before, then)]
    return {
        "fault": planned.fault,
        "target": planned.target.edge or planned.target.workload,
        "percentage": planned.affected_percentage,
        "edges": edges,
        "exposed": exposed_of(prediction, before, programs, left_out_of(maps[0])),
    }


def edge_of(
    impact: Impact,
    prediction: Prediction,
    seen: tuple[Observation, Observation],
    maps: tuple[Map, Map],
    programs: tuple[Programs, Programs],
) -> dict[str, Any]:
    """An edge: its caller, the predicted effect, its state, and the cause if they differ."""
    workload = workload_of(impact.key.source, *seen)
    effect = prediction.direct.get(impact.key)
    touched = impact.state in TOUCHED
    callee = short_name(impact.key.destination).rpartition("/")[2]
    counts = (programs[0].get(workload, {}), programs[1].get(workload, {}))
    volumes = (volume_of(impact.key, maps[0]), volume_of(impact.key, maps[1]))
    caller = Caller(workload, callee, *counts, *volumes, left_out_of(maps[1]))
    cause, sentence = "", ""
    if touched and effect is None:
        cause, sentence = why_missed(impact, caller)
    elif effect is not None and not touched:
        cause, sentence = why_held(impact, caller, share_hit=prediction.affected_percentage < 100)
    return {
        "edge": impact.key.text,
        "caller": short_name(impact.key.source),
        "predicted": effect,
        "state": impact.state,
        "touched": touched,
        "asPredicted": effect is not None and impact.state in AS_PREDICTED[effect],
        "surge": impact.surge and round(impact.surge, 1),
        "baseline": [impact.baseline.attempts, impact.baseline.established],
        "fault": [impact.fault.attempts, impact.fault.established],
        "openedBefore": [impact.baseline.opened_before, impact.fault.opened_before],
        "cause": cause,
        "sentence": sentence,
    }


def workload_of(vertex_id: str, *seen: Observation) -> str:
    """The name of a vertex's workload; its own name without one."""
    names = [name for one in seen if vertex_id in one.vertices for _, _, name in one.vertices[vertex_id].workloads]
    return min(names, default=short_name(vertex_id).rpartition("/")[2])


def volume_of(key: EdgeKey, one: Map) -> Mapping[str, Any]:
    """Bytes and retransmissions of an edge, as its map has them."""
    for edge in one["edges"]:
        if EdgeKey(edge["source"], edge["destination"], edge["port"], edge["type"]) == key:
            found: Mapping[str, Any] = edge.get("volume") or {}
            return found
    return {}


def told(why: tuple[str, str]) -> dict[str, str]:
    """Cause and sentence by name."""
    return {"cause": why[0], "sentence": why[1]}


def left_out_of(one: Map) -> int:
    """Connections that were open before the window and are in no edge, since a loss blurs which end made them."""
    groups = (counts.get("openedBefore") or {} for counts in one["observation"].values())
    return sum(group.get("leftOut", {}).get("direction_unknown", 0) for group in groups)


def exposed_of(
    prediction: Prediction, seen: Observation, programs: tuple[Programs, Programs], left_out: int
) -> dict[str, Any]:
    """The workloads that were predicted to be hit or exposed, and those of which requests failed in the fault.

    `left_out`: connections that were open in the baseline and are in no edge of it.
    """
    names = set(prediction.exposed)
    workloads = {workload_of(one, seen) for one in seen.vertices if short_name(one) in names}
    workloads |= {workload_of(one.id, seen) for one in prediction.hit}
    workloads |= {workload_of(key.source, seen) for key in prediction.direct}
    before, then = programs
    harmed = {name for name, counts in then.items() if counts.get("failed") and not before.get(name, {}).get("failed")}
    unharmed = {name: why_unharmed(then.get(name, {})) for name in sorted(workloads - harmed)}
    return {
        "predicted": sorted(workloads),
        "harmed": sorted(harmed),
        "notPredicted": {
            name: told(why_unforeseen(before.get(name, {}), left_out)) for name in sorted(harmed - workloads)
        },
        "unharmed": {name: told(why) for name, why in unharmed.items()},
    }
