"""The snapshots in a file of inventory bodies, and the directory that they make.

The parts of one inventory belong together; the inventories are in the order of their windows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from directory.object_fields import mapping_at, mappings_at, text_at
from directory.pods.timestamps import time_ns

OWNER_KINDS = ("Pod", "Service", "Node")  # every kind whose objects can own an address
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
    """One inventory, listed in its window.

    `complete` are the kinds of which it has every object; `incomplete` says why it has not all of the others.
    """

    start_ns: int
    end_ns: int
    complete: tuple[str, ...]
    incomplete: Mapping[str, str]
    bodies: tuple[Mapping[str, Any], ...]

    def objects(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each object with its kind."""
        for body in self.bodies:
            for key, kind in LIST_KINDS.items():
                for obj in mappings_at(body, key):
                    yield kind, obj


def snapshot_of(bodies: list[Mapping[str, Any]]) -> Snapshot:
    """Return the inventory of its parts."""
    window = mapping_at(bodies[0], "window")
    reasons = {kind: reason for kind in LIST_KINDS.values() if (reason := why_incomplete(kind, bodies))}
    return Snapshot(
        time_ns(window.get("start")) or 0,
        time_ns(window.get("end")) or 0,
        tuple(kind for kind in LIST_KINDS.values() if kind not in reasons),
        reasons,
        tuple(bodies),
    )


def why_incomplete(kind: str, bodies: list[Mapping[str, Any]]) -> str | None:
    """Return why an inventory does not have every object of a kind; None if it has.

    Bodies that were not made by the collector say nothing about completeness: then a list that is there is whole.
    """
    head = mapping_at(bodies[0], "inventory")
    name = kind.lower()
    if not head:
        there = any(isinstance(body.get(key), list) for body in bodies for key in LIST_KINDS if LIST_KINDS[key] == kind)
        return None if there else f"{name}_not_listed"
    parts = [mapping_at(body, "inventory").get("part", 1) for body in bodies]
    numbers = {part for part in parts if type(part) is int}
    if len(numbers) != head.get("parts", 1) or numbers != set(range(1, len(numbers) + 1)):
        return f"{name}_part_missing"
    if kind not in mapping_at(head, "kinds"):
        return f"{name}_not_listed"
    said = mapping_at(mapping_at(head, "kinds"), kind)
    if said.get("complete") is True:
        observed = kind != "Node" and any(body.get("observedNamespaces") for body in bodies)
        return "namespaces_left_out" if observed else None
    if text_at(said, "reason") in ("namespaced", "forbidden"):
        return "namespaced" if text_at(said, "reason") == "namespaced" else f"{name}_forbidden"
    return f"{name}_incomplete"


def snapshots_of(bodies: Iterable[Mapping[str, Any]]) -> list[Snapshot]:
    """Return the inventories, oldest window first; bodies that name no inventory are one."""
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for body in bodies:
        by_id.setdefault(str(mapping_at(body, "inventory").get("id")), []).append(body)
    return sorted((snapshot_of(parts) for parts in by_id.values()), key=lambda snapshot: snapshot.start_ns)
