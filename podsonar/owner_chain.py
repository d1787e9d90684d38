"""The owner chain of an object: from its controller reference up to the root workload. Pure.

The one place for this rule: inventory selection, directory and service map follow the same chain. A controller that is
not listed (an Argo `Rollout`, any other custom resource) is known from the reference to it. References cross no
namespace: an owner is in the namespace of what it owns, or in none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

BUILT_IN_GROUPS = {
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "Job": "batch",
    "CronJob": "batch",
}
LONGEST_CHAIN = 8  # CronJob → Job → Pod is 2; operators add a few


class ControllerReference(NamedTuple):
    """The controller that an object names: API group (empty for the core group), kind, name and UID."""

    group: str
    kind: str
    name: str
    uid: str


class Controller(NamedTuple):
    """A controller in its namespace, and the one that controls it."""

    group: str
    kind: str
    namespace: str
    name: str
    uid: str
    parent: ControllerReference | None = None


def api_group(api_version: object, kind: str) -> str:
    """The group of an `apiVersion`; the built-in group of the kind if there is none, as in lists without it."""
    if not isinstance(api_version, str) or not api_version:
        return BUILT_IN_GROUPS.get(kind, "")
    group, slash, _version = api_version.rpartition("/")
    return group if slash else ""


def controller_reference(obj: Mapping[str, Any]) -> ControllerReference | None:
    """The owner reference that controls an object; None if there is none with a kind, a name and a UID."""
    meta = obj.get("metadata")
    references = meta.get("ownerReferences") if isinstance(meta, Mapping) else None
    for reference in references if isinstance(references, list | tuple) else ():
        if isinstance(reference, Mapping) and reference.get("controller") is True:
            return reference_of(reference)
    return None


def reference_of(owner: Mapping[str, Any]) -> ControllerReference | None:
    """The reference in an element of `ownerReferences`; None if it has no kind, name or UID."""
    kind, name, uid = owner.get("kind"), owner.get("name"), owner.get("uid")
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(uid, str) and kind and uid):
        return None
    return ControllerReference(api_group(owner.get("apiVersion"), kind), kind, name, uid)


def root_controller(
    reference: ControllerReference | None, namespace: str, by_uid: Mapping[str, Controller]
) -> Controller | None:
    """The controller at the top of the chain that starts with a reference; None without a reference.

    A listed controller counts by its own kind and name, one that is not listed by the reference to it. The chain ends
    where it comes back to itself.
    """
    root: Controller | None = None
    seen: set[str] = set()
    while reference is not None and reference.uid not in seen and len(seen) < LONGEST_CHAIN:
        seen.add(reference.uid)
        root = by_uid.get(reference.uid) or Controller(
            reference.group, reference.kind, namespace, reference.name, reference.uid
        )
        reference = root.parent
    return root


def is_node(controller: Controller | ControllerReference) -> bool:
    """Return whether the owner is a node: the controller of a static pod's mirror, which is its own workload."""
    return controller.kind == "Node" and not controller.group


def is_batch(controller: Controller) -> bool:
    """Whether it is a job or cron job of Kubernetes itself; a custom resource of that kind may be a server."""
    return controller.group == "batch" and controller.kind in ("Job", "CronJob")
