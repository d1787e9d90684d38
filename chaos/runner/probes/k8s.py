"""A probe that looks whether objects are in the cluster, with the runner's own rights."""

from typing import Any

import orjson

from chaos.probes.attempt import Attempt
from chaos.task_action import ResourceInputs
from cluster_api.client import ApiClient
from cluster_api.resources import Resource
from podsonar.errors import ApiServerError


def look_at(api: ApiClient, inputs: ResourceInputs) -> Attempt:
    """One look: a resource that the server does not have, or may not show, is an error."""
    version = f"{inputs.group}/{inputs.version}" if inputs.group else inputs.version
    resource = Resource(version, inputs.resource, inputs.resource, namespaced=bool(inputs.namespace))
    query: dict[str, str | int] = {
        name: text
        for name, text in (("labelSelector", inputs.label_selector), ("fieldSelector", inputs.field_selector))
        if text
    }
    try:
        status, body = api.exchange(resource.path(inputs.namespace), query)
    except ApiServerError as error:
        return Attempt("Failed", str(error)[:200])
    if status != 200:
        return Attempt("Error", f"list {inputs.resource} of {version}: the API server answered {status}")
    answer: Any = orjson.loads(body)
    names = {str(one["metadata"]["name"]) for one in answer.get("items") or []}
    wanted = {one.strip() for one in inputs.resource_names.split(",") if one.strip()}
    there = wanted <= names if wanted else bool(names)
    absent = not (wanted & names) if wanted else not names
    met = there if inputs.operation == "present" else absent
    what = ", ".join(sorted(wanted)) or "any object"
    return Attempt("Passed" if met else "Failed", f"{len(names)} {inputs.resource}; expected {what} {inputs.operation}")
