"""What a task of an experiment will touch, from observed windows, and what the guards say of it. Pure.

Targets are workloads by name, as the runner selects them; `edge-*` faults touch the edges to their Service alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chaos.control.experiments.runs.manifest import Manifest, Task, Workload
from chaos.control.judge.guards import GuardInput, GuardResult, check_guards
from chaos.control.judge.observed_edges import EdgeKey, Observation, short_name
from chaos.control.judge.prediction import EDGE_FAULTS, Effect, PlannedFault, Prediction, Target, predict, together
from chaos.guard_settings import GuardSettings
from chaos.window_settings import DEFAULT_SECONDS
from podsonar.errors import InputError

MOST_DIGITS = 10
NOTHING = Prediction([], {}, {}, [], 0, 100)
NARROWING = ("DESTINATION_IPS", "DESTINATION_HOSTS", "DESTINATION_PORTS")


class TaskPlan(NamedTuple):
    """A task's prediction; `unresolved` is why there is none."""

    fault: PlannedFault
    prediction: Prediction
    namespaces: frozenset[str]
    unresolved: str


def plan_task(task: Task, seen: Observation) -> TaskPlan:
    """The prediction of a task; of targets that were not observed an empty one, with the reason."""
    chaos, selectors = task.definition.chaos, task.definition.targets.workloads
    namespaces = frozenset(one.namespace or "" for one in selectors)
    try:
        names = find_workloads(selectors, seen)
        pods = sum(pods_of(predict(planned(task, name, 100), seen)) for name in names)
        percentage = share_of(chaos.settings, pods)
        found = together([predict(planned(task, name, percentage), seen) for name in names])
    except InputError as error:
        return TaskPlan(PlannedFault(chaos.experiment, Target()), NOTHING, namespaces, str(error))
    if chaos.experiment not in EDGE_FAULTS:
        return TaskPlan(PlannedFault(chaos.experiment, Target(), percentage), found, namespaces, "")
    edge = Target(edge=f"{names[0]} -> {chaos.settings.get('DESTINATION_SERVICE', '')}")
    narrowed = only_to_service(found, chaos.settings)
    return TaskPlan(PlannedFault(chaos.experiment, edge, percentage), narrowed, namespaces, "")


def find_workloads(selectors: Sequence[Workload], seen: Observation) -> list[str]:
    """`namespace/name` of every workload that is meant; InputError without one."""
    names = [name for one in selectors for name in workload_names(one, seen)]
    if not names:
        raise InputError("target names no workload: expected targets.selectors.workloads with names on the map")
    return names


def planned(task: Task, workload: str, percentage: int) -> PlannedFault:
    """The fault of a task on one workload."""
    return PlannedFault(task.definition.chaos.experiment, Target(workload=workload), percentage)


def workload_names(selector: Workload, seen: Observation) -> Sequence[str]:
    """`namespace/name` of the workloads of a selector: those that it names, else every one of its kind on the map."""
    kind, namespace = (selector.kind or "").lower(), selector.namespace or ""
    names = [name.strip() for name in (selector.names or "").split(",") if name.strip()]
    if not names and selector.labels:
        raise InputError(f"target is named by labels {selector.labels[:80]!r}: expected names, as on the map")
    known = {one for vertex in seen.vertices.values() for one in vertex.workloads}
    return sorted(
        {f"{namespace}/{name}" for name in names}
        or {f"{namespace}/{one[2]}" for one in known if (one[0].lower(), one[1]) == (kind, namespace)}
    )


def pods_of(prediction: Prediction) -> int:
    """The pods of a target; its Services and itself on the map have the same ones."""
    return max((vertex.pods for vertex in prediction.hit), default=0)


def share_of(settings: Mapping[str, str], pods: int) -> int:
    """The share of the pods that the runner will choose, in percent, rounded up: at least one pod."""
    wanted = settings.get("POD_AFFECTED_PERCENTAGE", "0")
    names = [name for name in settings.get("TARGET_PODS", "").split(",") if name.strip()]
    percentage = min(100, number_of(wanted, 100))
    chosen = len(names) or max(1, pods * percentage // 100)
    return min(100, math.ceil(100 * chosen / pods)) if pods else 100


def number_of(text: str, otherwise: int) -> int:
    """The whole number in a setting; another one for what is none, or too long for a percentage or seconds."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else otherwise


def only_to_service(found: Prediction, settings: Mapping[str, str]) -> Prediction:
    """The prediction of a fault on the edges to DESTINATION_SERVICE, of all its ports or DESTINATION_PORTS."""
    service = settings.get("DESTINATION_SERVICE", "").strip()
    ports = {port.strip() for port in settings.get("DESTINATION_PORTS", "").split(",") if port.strip()}
    sources = {vertex.id for vertex in found.hit}
    direct: dict[EdgeKey, Effect] = {
        key: effect
        for key, effect in found.direct.items()
        if key.source in sources and short_name(key.destination) == service and (not ports or key.port in ports)
    }
    return Prediction(found.hit, direct, found.exposed, found.unknown, found.services, found.affected_percentage)


def duration_seconds(settings: Mapping[str, str]) -> int:
    """How long a fault lasts; 0 for what is no duration, which no guard allows."""
    return number_of(settings.get("TOTAL_CHAOS_DURATION", str(DEFAULT_SECONDS)), 0)


def check_run(manifest: Manifest, settings: GuardSettings, seen: Observation) -> list[GuardResult]:
    """What every guard says of every task; of several tasks the rule names its own."""
    results = []
    for task in manifest.spec.tasks:
        plan, given = plan_task(task, seen), task.definition.chaos.settings
        one = GuardInput(
            planned=plan.fault,
            duration_seconds=duration_seconds(given),
            prediction=plan.prediction,
            seen=seen,
            settings=settings,
            namespaces=plan.namespaces,
            unresolved=plan.unresolved,
            is_narrow=any(given.get(name) for name in NARROWING),
        )
        place = f"{task.name}: " if len(manifest.spec.tasks) > 1 else ""
        results += [GuardResult(place + found.rule, found.result, found.sentence) for found in check_guards(one)]
    return results
