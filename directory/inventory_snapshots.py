"""The snapshots in a file of inventory bodies: the parts of one inventory together, in the order of their windows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from directory.pod_timestamps import time_ns

LIST_KINDS = {
    "nodeList": "Node",
    "serviceList": "Service",
    "podList": "Pod",
    "replicaSetList": "ReplicaSet",
    "replicationControllerList": "ReplicationController",
    "deploymentList": "Deployment",
    "statefulSetList": "StatefulSet",
    "daemonSetList": "DaemonSet",
    "jobList": "Job",
    "cronJobList": "CronJob",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One inventory: listed in its window, `complete` for some kinds; `partial`: of some namespaces alone."""

    start_ns: int
    end_ns: int
    complete: tuple[str, ...]
    bodies: tuple[Mapping[str, Any], ...]
    partial: bool = False

    def objects(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each object with its kind."""
        for body in self.bodies:
            for key, kind in LIST_KINDS.items():
                for obj in body.get(key) or []:
                    yield kind, obj


def snapshot(bodies: list[Mapping[str, Any]]) -> Snapshot:
    """The inventory of its parts."""
    window = bodies[0].get("window") or {}
    head = bodies[0].get("inventory") or {}
    whole = len(bodies) == head.get("parts", 1)
    kinds = head.get("kinds") or {}
    complete = tuple(kind for kind in LIST_KINDS.values() if whole and (kinds.get(kind) or {}).get("complete"))
    partial = (kinds.get("Node") or {}).get("reason") == "namespaced"
    start_ns, end_ns = time_ns(window.get("start")) or 0, time_ns(window.get("end")) or 0
    return Snapshot(start_ns, end_ns, complete, tuple(bodies), partial)


def snapshots(bodies: Iterable[Mapping[str, Any]]) -> list[Snapshot]:
    """The inventories, oldest window first; bodies that name no inventory are one."""
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for body in bodies:
        by_id.setdefault(str((body.get("inventory") or {}).get("id")), []).append(body)
    return sorted((snapshot(parts) for parts in by_id.values()), key=lambda one: one.start_ns)
