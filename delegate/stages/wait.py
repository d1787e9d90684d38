"""The fourth stage: workloads until they are available, or the reason why they are not."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster_api.objects import Object, Objects
from cluster_api.resources import BY_KIND, ObjectName
from delegate.task import AgentReport, PodReport

PODS = BY_KIND["v1", "Pod"]
WORKLOADS = ("Deployment", "DaemonSet")
COMPONENT = "app.kubernetes.io/component"
TURN_SECONDS = 1.0


def is_available(kind: str, found: Mapping[str, Any]) -> bool:
    """Whether every pod that the newest form of a workload wants is available."""
    status = found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return False
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        wanted = (found.get("spec") or {}).get("replicas", 1)
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        if status.get("replicas", 0) != updated:
            return False  # pods of an earlier form are still there
    return bool(updated >= wanted and available >= wanted)


def selector_of(found: Mapping[str, Any]) -> str:
    """The label selector of a workload's pods."""
    labels = ((found.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def unready_reason(pod: Mapping[str, Any]) -> str:
    """Why a pod is not ready, in the kubelet's and the scheduler's own words; empty for one that is."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        for place in ("waiting", "terminated"):
            if (reason := (state.get(place) or {}).get("reason")) and reason != "ContainerCreating":
                return f"{container.get('name')}: {reason} {(state[place].get('message') or '')}".strip()
    for condition in status.get("conditions") or []:
        if condition.get("type") in ("PodScheduled", "Ready") and condition.get("status") != "True":
            return f"{condition.get('reason') or condition['type']} {condition.get('message') or ''}".strip()
    return "" if status.get("conditions") else "no status yet"


def wait_until_available(
    objects: Objects, names: Sequence[ObjectName], seconds: float, stopped: Callable[[float], bool]
) -> dict[ObjectName, str]:
    """Wait for the workloads; the reason of each that did not become available in time.

    `stopped(seconds)` sleeps and says whether to give up.
    """
    deadline = time.monotonic() + seconds
    pending = [name for name in names if name.kind in WORKLOADS]
    found: dict[ObjectName, Object | None] = {}
    while pending:
        found = {name: objects.get(name) for name in pending}
        pending = [name for name, body in found.items() if body is None or not is_available(name.kind, body)]
        if not pending or time.monotonic() >= deadline or stopped(TURN_SECONDS):
            break
    return {name: reason_of(objects, name, found[name], seconds) for name in pending}


def reason_of(objects: Objects, name: ObjectName, found: Object | None, seconds: float) -> str:
    """Why a workload is not available: its pods' reasons, each once."""
    if found is None:
        return "deleted by somebody else"
    pods = objects.list(PODS, name.namespace, selector_of(found))
    reasons = sorted({reason for pod in pods if (reason := unready_reason(pod))})
    return f"not available after {seconds:.0f} s: {'; '.join(reasons) or 'no pod has been made'}"


def agent_pods(objects: Objects, names: Sequence[ObjectName]) -> AgentReport | None:
    """The pods of an installed agent; None where the list held no agent."""
    collector, nodes = None, []
    for name in names:
        found = objects.get(name) if name.kind in WORKLOADS else None
        if found is None:
            continue
        component = (found["metadata"].get("labels") or {}).get(COMPONENT)
        for pod in objects.list(PODS, name.namespace, selector_of(found)):
            if component == "collector":
                collector = pod_report(pod)
            elif component == "node-agent":
                nodes.append(pod_report(pod))
    return AgentReport(cluster=collector, node=nodes) if collector or nodes else None


def pod_report(pod: Mapping[str, Any]) -> PodReport:
    """A pod as it is reported."""
    metadata = pod["metadata"]
    return PodReport(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        status=(pod.get("status") or {}).get("phase", "Unknown"),
        node=(pod.get("spec") or {}).get("nodeName", ""),
    )
