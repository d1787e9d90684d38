"""Injectors of a run whose runner is taken away: found by label and owner, deleted by UID, until none is left.

A dead runner cannot end what it has injected. Its injectors do so without it, within seconds; the manager says that the
run has stopped once they are gone.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from cluster_api.objects import Object, Objects
from cluster_api.resources import BY_KIND, ObjectName
from delegate.stages.remove import remove_all
from delegate.task import ObjectReport, OwnedObject, RunInjectors
from podsonar.errors import ObjectRefusedError
from podsonar.run_labels import injectors_of
from podsonar.settings import DelegateRules

POD = BY_KIND["v1", "Pod"]
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WORKLOADS = ("Deployment", "DaemonSet")


def injector_refusals(run: RunInjectors, rules: DelegateRules) -> list[ObjectReport]:
    """Why the injectors of a run may not be deleted; empty if they may."""
    name = ObjectName("apps/v1", "Deployment", run.namespace, run.runner)
    reasons = []
    if not rules.runners:
        reasons.append("injectors of a run, and delegate.runners is false")
    if run.namespace not in rules.namespaces:
        reasons.append("injectors in another namespace")
    if not run.runner.startswith(tuple(rules.name_prefixes)):
        reasons.append("injectors of a runner whose name begins with no configured prefix")
    if not RUN_ID.fullmatch(run.run_id):
        reasons.append(f"injectors of run {run.run_id[:80]!r}, expected a UUID")
    return [ObjectReport.of(name, "refused", message=reason) for reason in reasons]


def find_injectors(objects: Objects, run: RunInjectors) -> list[OwnedObject]:
    """The run's injectors that are there now: pods with its labels that its runner's Deployment owns."""
    found = objects.list(POD, run.namespace, injectors_of(run.run_id))
    return [
        OwnedObject(api_version="v1", kind="Pod", namespace=run.namespace, name=one["name"], uid=one["uid"])
        for one in (pod["metadata"] for pod in found if is_owned(pod, run.runner))
    ]


def is_owned(pod: Object, runner: str) -> bool:
    """Whether a runner's Deployment owns the pod."""
    owners = pod["metadata"].get("ownerReferences") or []
    return any((one.get("kind"), one.get("name")) == ("Deployment", runner) for one in owners)


def remove_run(
    objects: Objects,
    run: RunInjectors,
    owned: Sequence[OwnedObject],
    seconds: float,
    stopped: Callable[[float], bool],
    on_removed: Callable[[ObjectReport], object],
) -> tuple[bool, bool]:
    """Delete a runner, its injectors, and all else; whether all is gone, and whether runner and injectors are.

    The runner goes first, with its pods, so that no injector is made any more when they are looked for.
    """

    def remove(some: Sequence[OwnedObject]) -> bool:
        return remove_all(objects, some, seconds, stopped, on_removed)

    workloads, first = [one for one in owned if one.kind in WORKLOADS], find_injectors(objects, run)
    for one in [*workloads, *first]:  # all at once; each is waited for below
        with suppress(ObjectRefusedError):
            objects.delete(one.identity, one.uid)
    done = remove(workloads)
    done = remove(list({one.uid: one for one in [*first, *find_injectors(objects, run)]}.values())) and done
    runner = objects.get(ObjectName("apps/v1", "Deployment", run.namespace, run.runner))
    gone = done and runner is None and not find_injectors(objects, run)
    rest = [one for one in owned if one.kind not in WORKLOADS]
    return remove(rest) and done, gone
