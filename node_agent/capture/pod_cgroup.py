"""What the names of a cgroup show: a pod, a process of the node itself, or nothing certain.

Kubelet and runtimes name a pod's cgroup after its UID (pkg/kubelet/cm/cgroup_manager_linux.go), in many shapes; for a
static pod it is its config hash. The name nearest to the root is the kubelet's own: whoever may create cgroups in a pod
can give them any name, so an inner name never overrides an outer one. A name of no known shape proves nothing.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from node_agent.privileged.bpf_structs import NAME_BYTES, NAME_LEVELS

CGROUPFS = re.compile(r"pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})")
# With a kubelet of the systemd driver and containerd of cgroupfs the container's own name follows after a colon.
SYSTEMD = re.compile(r"(?:.*-)?pod([0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}|[0-9a-f]{32})\.slice(?::.+)?", re.DOTALL)
CONTAINER = re.compile(r"(?:.*[-:])?[0-9a-f]{12,64}(?:\.scope)?", re.DOTALL)
HOST_NAMES = frozenset(
    {"system.slice", "user.slice", "init.scope", "runtime.slice", "podruntime.slice", "kubelet.slice"}
)
# Parents of containers that are whole nodes, such as those of kind; below any other container no name is the kubelet's.
NODE_PARENTS = ("docker", "libpod", "lxc", "machine.slice", "system.slice")
ROOT = ("/",)

Kind = Literal["pod", "host", "root", "shared", "unknown"]
SHARED = (1 << 64) - 1  # stands for the cgroups of two pods that hold one socket; the kernel gives no such number


class CgroupOwner(NamedTuple):
    """Whose cgroup it is: `uids` are the pods named, outermost first; `certain`: no outer name can be hidden.

    `host` is known to be outside every pod; `root` is a hierarchy's root, where kernel threads work for pods, too;
    `shared` is two pods, so that it is neither's.
    """

    kind: Kind
    uids: tuple[str, ...] = ()
    certain: bool = False


HOST, HIERARCHY_ROOT, UNKNOWN_OWNER = CgroupOwner("host"), CgroupOwner("root"), CgroupOwner("unknown")
SHARED_OWNER = CgroupOwner("shared")


def named_uid(name: str) -> str | None:
    """Return the pod UID (a static pod's config hash) in one name; None if it is not a pod's."""
    match = CGROUPFS.fullmatch(name) or SYSTEMD.fullmatch(name)
    return match[1].replace("_", "-") if match else None


def is_cut(name: str) -> bool:
    """Return whether a name may have been cut by the kernel side, which keeps `NAME_BYTES` - 1 of it."""
    return len(name.encode("utf-8", "replace")) >= NAME_BYTES - 1


def is_certain(ancestors: tuple[str, ...]) -> bool:
    """Return whether the ancestors of a pod's cgroup, nearest first, can be a kubelet's: none is cut or a container."""
    return not any(
        is_cut(name) or (CONTAINER.fullmatch(name) and not any(map(parent.startswith, NODE_PARENTS)))
        for name, parent in zip(ancestors, (*ancestors, "")[1:], strict=True)
    )


def owner_of(names: tuple[str, ...]) -> CgroupOwner:
    """Return the owner by the names of a cgroup and its ancestors, leaf first."""
    if names == ROOT:
        return HIERARCHY_ROOT
    named = [(place, uid) for place, name in enumerate(names) if (uid := named_uid(name))]
    complete = 0 < len(names) < NAME_LEVELS
    if named:
        outermost = named[-1][0]
        certain = complete and is_certain(names[outermost + 1 :])
        return CgroupOwner("pod", tuple(uid for _place, uid in reversed(named)), certain)
    if not complete or any(map(is_cut, names)) or any(map(CONTAINER.fullmatch, names)):
        return UNKNOWN_OWNER
    return HOST if HOST_NAMES.intersection(names) else UNKNOWN_OWNER


def owner_in_hierarchies(hierarchies: Iterable[tuple[str, ...]]) -> CgroupOwner:
    """Return the owner of a process by the whole path of its cgroup in each hierarchy; a pod in any of them decides.

    Paths of /proc are whole: what is named first is the outermost, however deep the cgroup is.
    """
    found = UNKNOWN_OWNER
    for path in hierarchies:
        named = [(place, uid) for place, name in enumerate(path) if (uid := named_uid(name))]
        if named:
            uids = tuple(uid for _place, uid in reversed(named))
            return CgroupOwner("pod", uids, certain=is_certain(path[named[-1][0] + 1 :]))
        if HOST_NAMES.intersection(path) and not any(map(CONTAINER.fullmatch, path)):
            found = HOST
    return found


def pod_uid(names: tuple[str, ...]) -> str | None:
    """Return the outermost pod UID in the names of a cgroup, leaf first; None if no pod is named."""
    return next((uid for name in reversed(names) if (uid := named_uid(name))), None)
