"""The second stage: rights, what is there now, and the server's own word on every object. Nothing is changed.

A dry run in a namespace that the list itself creates answers 404 (seen on kube-apiserver 1.34): objects of such a
namespace are tried after it has been made for real, by `delegate.run_task`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from cluster_api.objects import Object, Objects, Right
from cluster_api.resources import ORDER, ObjectName
from delegate.task import ObjectReport
from podsonar.errors import ObjectRefusedError

COMPARED = {
    "Namespace": (),
    "ClusterRole": ("rules",),
    "ClusterRoleBinding": ("roleRef", "subjects"),
    "Role": ("rules",),
    "RoleBinding": ("roleRef", "subjects"),
}


def in_order(manifests: Sequence[Object]) -> list[Object]:
    """The manifests in the order in which they are applied."""
    return sorted(manifests, key=lambda body: ORDER[body["kind"]])


class Rights:
    """The rights of this identity, each asked for once."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.known: dict[Right, bool] = {}

    def missing(self, name: ObjectName, verbs: Sequence[str]) -> list[ObjectReport]:
        """A failure per verb that may not be used on an object."""
        found = []
        for verb in verbs:
            right = Right(verb, name.resource, name.namespace, name.name if verb != "create" else "")
            if right not in self.known:
                self.known[right] = self.objects.may(right)
            if not self.known[right]:
                found.append(ObjectReport.of(name, "failed", message=f"no right to {right}"))
        return found


def look_up(
    objects: Objects, names: Sequence[ObjectName], compared: Sequence[str]
) -> tuple[dict[ObjectName, Object | None], list[ObjectReport]]:
    """What is there now under each name, and a failure per right that applying would need and that is missing.

    Of the compared kinds only `get` is needed; what is not there must be created, and deleted in the end.
    """
    rights = Rights(objects)
    before: dict[ObjectName, Object | None] = {}
    missing: list[ObjectReport] = []
    for name in names:
        unreadable = rights.missing(name, ["get"])
        before[name] = None if unreadable else objects.get(name)
        missing += unreadable
        if name.kind not in compared:
            missing += rights.missing(name, ["patch"] if before[name] else ["patch", "create", "delete"])
    return before, missing


def state_of(name: ObjectName, found: Object | None, manager: str) -> ObjectReport:
    """The state of an object before this attempt changes anything."""
    if found is None:
        return ObjectReport.of(name, "absent")
    return ObjectReport.of(name, "unchanged", uid=found["metadata"]["uid"], managed=is_managed(found, manager))


def is_managed(found: Object, manager: str) -> bool:
    """Whether the object has been applied under this field manager."""
    fields = found["metadata"].get("managedFields") or []
    return any(entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in fields)


def differences(body: Object, found: Object | None) -> Iterator[str]:
    """What an object that is compared and not applied would need beyond what is there."""
    if found is None:
        yield "not there, and delegate.rbac is preinstalled: the chart creates it"
        return
    for member in COMPARED[body["kind"]]:
        wanted, there = parts_of(body.get(member)), parts_of(found.get(member))
        if missing := sorted(wanted - there):
            yield f"{member} lack {', '.join(missing)}, and delegate.rbac is preinstalled"


def parts_of(value: object) -> set[str]:
    """What a role reference, subjects or rules consist of: for rules each verb of each resource of each group."""
    items = value if isinstance(value, list) else [value] if value else []
    found = set()
    for item in items:
        if isinstance(item, dict) and "verbs" in item:
            names = [f" named {name}" for name in item.get("resourceNames") or []] or [""]
            for group, resource, verb, name in product(
                item.get("apiGroups") or [], item.get("resources") or [], item["verbs"], names
            ):
                found.add(f"{verb} {resource} of API group {group!r}{name}")
        elif isinstance(item, dict):
            found.add(" ".join(str(item.get(key, "")) for key in ("kind", "namespace", "name")).replace("  ", " "))
    return found


def refusals(
    objects: Objects,
    bodies: Sequence[Object],
    before: Mapping[ObjectName, Object | None],
    manager: str,
    *,
    force: bool,
) -> list[ObjectReport]:
    """A failure per object that the server would refuse now.

    A binding of a role that the list itself creates is not tried: it is answered 404 until the role is there.
    Whether the role may be granted is tried with the role.
    """
    missing = {(name.kind, name.name) for name, found in before.items() if found is None}
    found = []
    for body in bodies:
        role = body.get("roleRef") or {}
        if (role.get("kind"), role.get("name")) in missing:
            continue
        try:
            objects.apply(body, manager, force=force, dry_run=True)
        except ObjectRefusedError as error:
            found.append(ObjectReport.of(ObjectName.of(body), "failed", message=str(error)))
    return found
