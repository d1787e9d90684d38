"""What the list of an experiment's runner may hold beyond an agent's, where `delegate.runners` allows runners. Pure.

A runner's list is known by its labels and by the one program that its Deployment runs. Its role may make and delete
pods and delete Deployments of a namespace, for its faults, its injectors and its own end.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from delegate.stages.pod_rules import dicts, mapping
from podsonar.run_labels import OF_RUNNERS

WORKLOADS = ("Deployment", "DaemonSet", "Pod")  # no set: a kind may be anything, and is refused then
ARGUMENTS = ["runner", "run"]
VERBS = {("", "pods"): {"create", "delete"}, ("apps", "deployments"): {"delete"}}


def is_runner(manifests: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is a runner's: every object has its labels, and its only workload runs nothing else."""
    labels = [mapping(mapping(body.get("metadata")).get("labels")) for body in manifests]
    places = {tuple(str(one.get(name, "")) for name in OF_RUNNERS) for one in labels}
    workloads = [body for body in manifests if body.get("kind") in WORKLOADS]
    return len(places) == 1 and all(all(place) for place in places) and [runs(body) for body in workloads] == [True]


def runs(body: Mapping[str, Any]) -> bool:
    """Whether a workload is a Deployment of one container that is a runner."""
    containers = dicts(mapping(mapping(mapping(body.get("spec")).get("template")).get("spec")).get("containers"))
    return body.get("kind") == "Deployment" and [one.get("args") for one in containers] == [ARGUMENTS]


def allowed_verbs(rule: Mapping[str, Any]) -> set[str]:
    """The verbs beyond reading that a rule of a runner's Role may have: those of each of its resources."""
    groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
    allowed = [VERBS.get((group, resource), set()) for group in groups for resource in resources]
    return set.intersection(*allowed) if allowed else set()


def env_from_refusals(spec: Mapping[str, Any], config_maps: set[str], secrets: set[str]) -> Iterator[str]:
    """Why a runner's containers may not take all their variables from where they want to."""
    for source in (one for container in dicts(spec.get("containers")) for one in dicts(container.get("envFrom"))):
        kinds = set(source)
        if kinds - {"configMapRef", "secretRef"} or len(kinds) != 1:
            yield f"envFrom {', '.join(sorted(kinds))}, expected configMapRef or secretRef"
        config_map, secret = (mapping(source.get(name)).get("name") for name in ("configMapRef", "secretRef"))
        if "configMapRef" in source and config_map not in config_maps:
            yield f"envFrom ConfigMap {config_map!r}, which is not in the list"
        if "secretRef" in source and secret not in secrets:
            yield f"envFrom Secret {secret!r}, which is neither in the list nor the runner's own"


def without_env_from(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A pod without what `env_from_refusals` looks at."""
    containers = [{key: one for key, one in each.items() if key != "envFrom"} for each in dicts(spec.get("containers"))]
    return {**spec, "containers": containers}
