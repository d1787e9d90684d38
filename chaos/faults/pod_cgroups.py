"""Finds the cgroups of a pod and of one of its containers below a mount of /sys/fs/cgroup: v1, v2, hybrid. Reads only.

Names are the kubelet's: `pod<uid>` with the cgroupfs driver, `kubepods-…-pod<uid with underscores>.slice` with
systemd's; a container's is its id, or `<runtime>-<id>.scope`.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.faults.fault import InjectionError

POD = re.compile(r"(?:^|-)pod([0-9a-f_-]{32,36})(?:\.slice)?$")
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
UID = re.compile(r"[0-9a-f-]{32,36}")
UNIFIED_FILE = "cgroup.controllers"  # of every version 2 cgroup
KILL_FILE = "cgroup.kill"  # kernel 5.14


class PodCgroups(NamedTuple):
    """One folder per hierarchy: of the pod, and of the container if one is meant."""

    pod: tuple[Path, ...]
    container: tuple[Path, ...] = ()

    @property
    def unified_pod(self) -> Path:
        """The pod's version 2 cgroup; InjectionError on a node without one."""
        return unified(self.pod)

    @property
    def unified_container(self) -> Path:
        """The container's version 2 cgroup; InjectionError on a node without one."""
        return unified(self.container)


def unified(folders: Sequence[Path]) -> Path:
    """The version 2 one of some folders."""
    for folder in folders:
        if (folder / UNIFIED_FILE).exists():
            return folder
    raise InjectionError("E1103 CGROUP2_MISSING: the pod has no cgroup of version 2, expected a node that mounts it")


def pod_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """UID and folder of every pod, in every hierarchy; nothing below a pod's folder is read."""
    for place, names, _files in os.walk(root):
        pods = {name: found[1].replace("_", "-") for name in names if (found := POD.search(name))}
        names[:] = [name for name in names if name not in pods]
        yield from ((uid, Path(place) / name) for name, uid in pods.items())


def find_pod_cgroups(root: Path, uid: str, container: str = "") -> PodCgroups:
    """The cgroups of a pod, and with a container's id of that; InjectionError where there is none."""
    if not UID.fullmatch(uid) or (container and not CONTAINER_ID.fullmatch(container)):
        raise InjectionError(
            f"pod {uid[:80]!r}, container {container[:80]!r}: expected a UID and 64 hexadecimal digits"
        )
    pods = tuple(folder for found, folder in pod_folders(root) if found == uid)
    if not pods:
        raise InjectionError(f"pod {uid} has no cgroup below {root}: expected it to run on this node")
    if not container:
        return PodCgroups(pods)
    name = re.compile(rf"(?:^|-){container}(?:\.scope)?")
    containers = tuple(one for pod in pods for one in pod.iterdir() if one.is_dir() and name.fullmatch(one.name))
    if not containers:
        raise InjectionError(f"container {container[:12]} has no cgroup in pod {uid}: expected it to run")
    return PodCgroups(pods, containers)


def kill_container(folder: Path) -> None:
    """Kill every process of a version 2 cgroup at once (cgroup.kill, kernel 5.14)."""
    try:
        (folder / KILL_FILE).write_text("1")
    except OSError as error:
        raise InjectionError(f"{KILL_FILE}: {error.strerror}, expected a kernel of at least 5.14") from error
