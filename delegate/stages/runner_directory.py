"""What a runner's list may say of the collector where it orders windows: what `delegate.directory` says, and no more.

A container's own variables come before those of ConfigMaps and Secrets, so that whoever makes the list can send the
agents' token nowhere else. Pure but for `missing_token`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster_api.objects import Objects
from cluster_api.resources import ObjectName
from delegate.stages.pod_rules import dicts, mapping
from podsonar.settings import RunnerDirectory

URL, TOKEN = "PODSONAR_DIRECTORY_URL", "PODSONAR_DIRECTORY_TOKEN"

WANTED = "expected the agents' token for the windows of the run (delegate.directory), in the runner's namespace"


def allowed_variables(directory: RunnerDirectory) -> list[dict[str, Any]]:
    """The variables by which a runner knows the collector, in their order."""
    reference = {"secretKeyRef": {"name": directory.secret, "key": directory.key}}
    return [{"name": URL, "value": directory.url}, {"name": TOKEN, "valueFrom": reference}]


def is_directory(variable: Mapping[str, Any]) -> bool:
    """Whether a variable is one of those by which a runner knows the collector."""
    return variable.get("name") in (URL, TOKEN)


def directory_refusals(spec: Mapping[str, Any], directory: RunnerDirectory) -> Iterator[str]:
    """Why a runner's containers may not know the collector, or not as they want to."""
    for container in dicts(spec.get("containers")):
        variables = dicts(container.get("env"))
        found = [one for one in variables if is_directory(one)]
        if not found:
            continue
        if not directory.url:
            yield "orders windows at a collector, and delegate.directory is empty"
        elif found != allowed_variables(directory):
            yield f"{URL} or {TOKEN}, expected those of delegate.directory"
        for one in variables:
            # `$(NAME)` in a variable's value is the value of another one.
            if not is_directory(one) and set(mapping(one.get("valueFrom"))) != {"fieldRef"}:
                yield f"environment variable {one.get('name')!r} beside the agents' token, expected a field of the pod"


def without_directory(spec: Mapping[str, Any], directory: RunnerDirectory) -> dict[str, Any]:
    """A pod without what `directory_refusals` allows."""
    containers = [
        {**each, "env": [one for one in dicts(each["env"]) if one not in allowed_variables(directory)]}
        if directory.url and "env" in each
        else each
        for each in dicts(spec.get("containers"))
    ]
    return {**spec, "containers": containers}


def missing_token(objects: Objects, deployment: Mapping[str, Any], directory: RunnerDirectory) -> str:
    """Why a runner's pod would not start for want of the agents' token; empty if it would, or needs none."""
    template = mapping(mapping(mapping(deployment.get("spec")).get("template")).get("spec"))
    if not any(is_directory(one) for each in dicts(template.get("containers")) for one in dicts(each.get("env"))):
        return ""
    name = ObjectName("v1", "Secret", deployment["metadata"]["namespace"], directory.secret)
    return "" if has_token(objects, name, directory.key) else f"{name} with {directory.key} is not there: {WANTED}"


def has_token(objects: Objects, name: ObjectName, key: str) -> bool:
    """Whether there is a Secret of that name with something under that key."""
    found = objects.get(name)
    return bool(found and (found.get("data") or {}).get(key))
