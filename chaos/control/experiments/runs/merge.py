"""The state of a run from its events: any order, repetition, or loss with resending gives the same state. Pure.

The state is the join of the events: of each node the one that is furthest (Pending < Running < ended), of two that run
the later, of two that ended the first. An end that only a deadline made gives way to a runner's own.
"""

from collections.abc import Iterable

import msgspec

from chaos.control.experiments.runs.events import Execution, Node

DEADLINE_MESSAGE = "released by its deadline; not confirmed"

Progress = tuple[int, int, int, bytes]


def progress(node: Node) -> Progress:
    """How far a node is: the larger one stays."""
    text = msgspec.json.encode(node)
    if node.has_ended:
        by_runner = not (node.phase == "Stopped" and node.message == DEADLINE_MESSAGE)
        return (2, int(by_runner), -int(node.finished_at or 0), text)
    updated = node.chaos_data.last_updated_at if node.chaos_data else ""
    return (int(node.phase == "Running"), int(updated or 0), 0, text)


def merge(state: Execution | None, event: Execution) -> Execution:
    """The state after an event."""
    if state is None:
        return with_root(event)
    nodes = dict(state.nodes)
    for key, node in event.nodes.items():
        before = nodes.get(key)
        if before is not None and key == state.name:
            nodes[key] = msgspec.structs.replace(
                before,
                message=max(before.message, node.message),
                children=max(before.children or (), node.children or (), key=lambda names: (len(names), names)) or None,
            )
        else:
            nodes[key] = node if before is None else max(before, node, key=progress)
    times = (state.creation_timestamp, event.creation_timestamp)
    merged = msgspec.structs.replace(
        state,
        event_type=max(state.event_type, event.event_type),
        namespace=min(state.namespace, event.namespace),
        creation_timestamp=earliest(times),
        started_at=earliest((state.started_at, event.started_at)),
        finished_at=latest((state.finished_at, event.finished_at)),
        phase=max((state.phase, event.phase), key=lambda phase: (phase not in {"Queued", "Pending"}, phase)),
        message=max(state.message, event.message),
        executed_by=max(state.executed_by, event.executed_by),
        nodes=dict(sorted(nodes.items())),
    )
    return with_root(merged)


def with_root(state: Execution) -> Execution:
    """The state with its own phase and its root's: computed from the steps, not believed."""
    phase = phase_of(state)
    ended = [node for node in state.steps.values() if node.has_ended]
    over = len(ended) == len(state.steps) and bool(ended)
    finished = latest([node.finished_at for node in ended] + [state.finished_at]) if over else ""
    root = state.nodes[state.name]
    root = msgspec.structs.replace(
        root, phase=phase, started_at=earliest((root.started_at, state.started_at)), finished_at=finished
    )
    nodes = dict(sorted((state.nodes | {state.name: root}).items()))
    return msgspec.structs.replace(state, phase=phase, finished_at=finished, nodes=nodes)


def phase_of(state: Execution) -> str:
    """Error before Stopped before a probe's failure before Completed; Running until every step has ended.

    A run of which every step was skipped was stopped before anything began.
    """
    phases = [node.phase for node in state.steps.values()]
    if not phases or not all(node.has_ended for node in state.steps.values()):
        begun = any(node.phase != "Pending" for node in state.steps.values())
        return "Running" if begun or state.phase not in {"Queued", "Pending"} else state.phase
    for phase in ("Error", "Timeout", "Stopped", "Completed_With_Probe_Failure"):
        if phase in phases:
            return phase
    return "Stopped" if set(phases) == {"Skipped"} else "Completed"


def earliest(times: Iterable[str]) -> str:
    """The smallest of some Unix times as text; empty without one."""
    return min((time for time in times if time), key=int, default="")


def latest(times: Iterable[str]) -> str:
    """The largest of some Unix times as text; empty without one."""
    return max((time for time in times if time), key=int, default="")
