"""The pods that a fault hits: those whose owner chain leads to the named workloads, by UID. Reads the API server."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cluster_api.objects import Objects
from cluster_api.resources import ObjectName, Resource
from podsonar.errors import InputError

PODS = Resource("v1", "Pod", "pods", namespaced=True)
REPLICA_SETS = Resource("apps/v1", "ReplicaSet", "replicasets", namespaced=True)
KINDS = {
    "deployment": Resource("apps/v1", "Deployment", "deployments", namespaced=True),
    "statefulset": Resource("apps/v1", "StatefulSet", "statefulsets", namespaced=True),
    "daemonset": Resource("apps/v1", "DaemonSet", "daemonsets", namespaced=True),
}


class TargetPod(NamedTuple):
    """A pod that a fault may hit; `uid` is the precondition of everything that is done to it."""

    namespace: str
    name: str
    uid: str
    node: str
    owner_uid: str
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""

    @property
    def object_name(self) -> ObjectName:
        """Its name in the API."""
        return ObjectName("v1", "Pod", self.namespace, self.name)


class Selection(NamedTuple):
    """How many and which of the workloads' pods."""

    percentage: int
    names: frozenset[str]
    parallel: bool


def read_selection(settings: Mapping[str, str]) -> Selection:
    """The selection of a fault's settings; InputError for a bad one."""
    share = settings.get("POD_AFFECTED_PERCENTAGE") or "0"
    if not (share.isascii() and share.isdecimal() and int(share) <= 100):
        raise InputError(f"POD_AFFECTED_PERCENTAGE is {share[:20]!r}: expected 0 to 100; 0 and none mean one pod")
    if settings.get("NODE_LABEL"):
        raise InputError("NODE_LABEL is set: expected targets by workload and TARGET_PODS; nodes are not read")
    names = frozenset(name.strip() for name in settings.get("TARGET_PODS", "").split(",") if name.strip())
    sequence = settings.get("SEQUENCE") or "parallel"
    if sequence not in {"parallel", "serial"}:
        raise InputError(f"SEQUENCE is {sequence[:20]!r}: expected parallel or serial")
    return Selection(int(share), names, sequence == "parallel")


def find_targets(objects: Objects, selectors: Mapping[str, Any]) -> list[TargetPod]:
    """Every pod of the named workloads; InputError where a workload is missing or has no pod."""
    found: dict[str, TargetPod] = {}
    workloads = (selectors.get("selectors") or {}).get("workloads") or []
    for wanted in workloads:
        for pod in pods_of_workload(objects, wanted):
            found[pod.uid] = pod
    if not found:
        raise InputError("targets name no pod: expected targets.selectors.workloads with pods")
    return sorted(found.values())


def pods_of_workload(objects: Objects, wanted: Mapping[str, Any]) -> Iterable[TargetPod]:
    """The running pods of the workloads that one selector names."""
    kind, namespace = str(wanted.get("kind", "")).lower(), str(wanted.get("namespace", ""))
    resource = KINDS.get(kind)
    if resource is None or not namespace:
        raise InputError(f"target kind {kind[:40]!r} in namespace {namespace[:80]!r}: expected {', '.join(KINDS)}")
    owners = workload_uids(objects, resource, namespace, wanted)
    if kind == "deployment":
        replica_sets = objects.list(REPLICA_SETS, namespace, "")
        owners = {one["metadata"]["uid"] for one in replica_sets if owner_uid(one) in owners}
    for pod in objects.list(PODS, namespace, ""):
        metadata, status = pod["metadata"], pod.get("status", {})
        owner = owner_uid(pod)
        if owner in owners and status.get("phase") == "Running" and not metadata.get("deletionTimestamp"):
            labels = tuple(sorted((metadata.get("labels") or {}).items()))
            node = pod["spec"].get("nodeName", "")
            address = str(status.get("podIP") or "")
            yield TargetPod(namespace, metadata["name"], metadata["uid"], node, owner, labels, address)


def workload_uids(objects: Objects, resource: Resource, namespace: str, wanted: Mapping[str, Any]) -> set[str]:
    """UIDs of the workloads by name, by labels, or of the whole namespace; InputError for a name that is not there."""
    names = [name.strip() for name in str(wanted.get("names") or "").split(",") if name.strip()]
    listed = objects.list(resource, namespace, str(wanted.get("labels") or ""))
    uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in listed}
    missing = [name for name in names if name not in uids]
    if missing:
        raise InputError(f"target {resource.kind} {namespace}/{missing[0]} is not there: expected an existing workload")
    return {uids[name] for name in names} if names else set(uids.values())


def owner_uid(body: Mapping[str, Any]) -> str:
    """The UID of an object's controller; empty without one."""
    owners = body["metadata"].get("ownerReferences") or []
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")


def choose(pods: Sequence[TargetPod], selection: Selection, chance: random.Random) -> list[TargetPod]:
    """Some of the pods: the named ones, else at random the share, at least one."""
    if selection.names:
        found = [pod for pod in pods if pod.name in selection.names]
        if len(found) != len(selection.names):
            missing = sorted(selection.names - {pod.name for pod in found})
            raise InputError(f"TARGET_PODS names {missing[0]!r}, which is no pod of the targets")
        return found
    count = max(1, math.floor(len(pods) * selection.percentage / 100))
    return sorted(chance.sample(list(pods), min(count, len(pods))))


def container_name(pod: Mapping[str, Any], wanted: str) -> str:
    """The named container of a pod, else its first; InputError where it has none of that name."""
    names = [str(one["name"]) for one in pod["spec"]["containers"]]
    if wanted and wanted not in names:
        raise InputError(f"TARGET_CONTAINER is {wanted[:80]!r}: expected one of {', '.join(names)}")
    return wanted or names[0]


def container_id(pod: Mapping[str, Any], name: str) -> str:
    """The runtime's id of a running container; InputError where it does not run."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if status["name"] == name and "running" in (status.get("state") or {}):
            return str(status.get("containerID", "")).rpartition("://")[2]
    raise InputError(f"container {name} of pod {pod['metadata']['name']} does not run")
