"""The pods that a fault hits now: chosen, then looked at by the guards that need the API server. Nothing was hit yet.

Namespaces and labels are protected in every run; share of pods and PodDisruptionBudgets with an experiment's `guards`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chaos.guard_settings import GuardSettings
from chaos.runner.faults.context import FaultContext, FaultError
from chaos.runner.targets import PODS, Selection, TargetPod, choose, find_targets
from cluster_api.objects import Objects
from cluster_api.resources import Resource
from podsonar.errors import ApiServerError, InputError

BUDGETS = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", namespaced=True)
OPERATORS = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}


def choose_targets(context: FaultContext, targets: Mapping[str, Any], selection: Selection) -> list[TargetPod]:
    """Some pods of the named workloads; FaultError if a guard refuses them."""
    pods = find_targets(context.objects, targets)
    chosen = choose(pods, selection, context.chance)
    context.check(chosen, pods)
    return chosen


def check_targets(
    objects: Objects, guards: Mapping[str, Any] | None, chosen: Sequence[TargetPod], pods: Sequence[TargetPod]
) -> None:
    """FaultError names the first guard that refuses, what it found and what was expected."""
    try:
        settings = msgspec.convert(guards or {}, GuardSettings)
    except msgspec.ValidationError as error:
        raise InputError(f"spec.guards: {error}") from error
    refusals = protected(settings, chosen)
    if guards is not None:
        refusals = refusals or too_many(settings, chosen, pods) or list(spent_budgets(objects, chosen))
    if refusals:
        raise FaultError("E3014: GUARD_REFUSED", f"guard {refusals[0]}; not injected")


def protected(settings: GuardSettings, chosen: Sequence[TargetPod]) -> list[str]:
    """Pods in protected namespaces, or with a protected label."""
    names = settings.protected_namespaces
    found = [
        f"protected namespaces: pod {pod.namespace}/{pod.name}, expected a target outside {', '.join(names)}"
        for pod in chosen
        if pod.namespace in names
    ]
    found += [
        f"protected labels: pod {pod.namespace}/{pod.name} has {label}, expected pods without it"
        for pod in chosen
        for label in settings.protecting(dict(pod.labels))
    ]
    return found


def too_many(settings: GuardSettings, chosen: Sequence[TargetPod], pods: Sequence[TargetPod]) -> list[str]:
    """Whether a larger share of the pods is chosen than allowed."""
    most = settings.max_pods_percentage
    fine = len(chosen) * 100 <= most * len(pods)
    return [] if fine else [f"pods hit: {len(chosen)} of {len(pods)} pods, at most {most} % allowed"]


def spent_budgets(objects: Objects, chosen: Sequence[TargetPod]) -> Iterable[str]:
    """Budgets that do not allow so many disruptions at once; those that cannot be read allow none."""
    uids = {pod.uid for pod in chosen}
    for namespace in sorted({pod.namespace for pod in chosen}):
        try:
            budgets = objects.list(BUDGETS, namespace, "")
            hits = [len(uids & covered(objects, namespace, budget)) for budget in budgets]
        except ApiServerError as error:
            yield f"PodDisruptionBudget: not read, expected the right to list them: {error}"
            return
        for budget, hit in zip(budgets, hits, strict=True):
            allowed = disruptions_allowed(budget)
            if hit > allowed:
                name = f"{namespace}/{budget['metadata']['name']}"
                yield f"PodDisruptionBudget: {name} allows {allowed} disruptions, at least {hit} expected"


def covered(objects: Objects, namespace: str, budget: Mapping[str, Any]) -> set[str]:
    """UIDs of the pods that a budget is about; the API server matches its selector. None: no pod (policy/v1)."""
    selector = budget["spec"].get("selector")
    if selector is None:
        return set()
    return {str(pod["metadata"]["uid"]) for pod in objects.list(PODS, namespace, selector_text(selector))}


def disruptions_allowed(budget: Mapping[str, Any]) -> int:
    """What the disruption controller says; 0 before it has seen the budget as it is now."""
    status = budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        return 0
    return int(status.get("disruptionsAllowed", 0))


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as the API's query has it."""
    equal = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    others = [
        OPERATORS[one["operator"]].format(key=one["key"], values=",".join(one.get("values") or []))
        for one in selector.get("matchExpressions") or []
    ]
    return ",".join([*equal, *others])
