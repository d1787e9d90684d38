"""The processes of the node by network namespace, from /proc: whose each is, and what could not be read.

Needs no capability. Every process is read by itself: one that has ended, is a zombie, is hidden (`hidepid`, proc(5)) or
has a name that is no UTF-8 changes nothing for the others.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.capture.pod_cgroup import owner_in_hierarchies

PROC_UNREADABLE, PROCESS_UNREADABLE, HIDDEN = "proc_unreadable", "process_unreadable", "processes_hidden"


@dataclass(slots=True)
class Network:
    """One network namespace: the pods with a process in it, whether others are, too, and its processes."""

    pods: set[str] = field(default_factory=set)
    outside: bool = False
    processes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Processes:
    """Network namespaces by number, pods without any (their processes have ended), and what could not be read."""

    networks: dict[int, Network] = field(default_factory=dict)
    pods: set[str] = field(default_factory=set)
    not_read: Counter[str] = field(default_factory=Counter)

    def pods_without_network(self) -> set[str]:
        """Return the pods of which no process shows a socket table."""
        return self.pods - {pod for network in self.networks.values() for pod in network.pods}


def cgroup_paths(content: bytes) -> list[tuple[str, ...]]:
    """Return the names of a process's cgroup in each hierarchy, leaf first, from its /proc/<pid>/cgroup."""
    paths = [line.split(b":", 2)[-1] for line in content.splitlines() if line.count(b":") >= 2]
    return [tuple(name.decode("utf-8", "replace") for name in reversed(path.split(b"/")) if name) for path in paths]


def process_ids(folder: Path, not_read: Counter[str]) -> Iterator[int]:
    """Yield the process ids that /proc shows; a folder that is none is counted."""
    try:
        with os.scandir(folder) as entries:
            yield from (int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdigit())
    except OSError:
        not_read[PROC_UNREADABLE] += 1


def network_number(folder: Path, pid: int) -> int | None:
    """Return a number for the network namespace of a process; None if it has none any more.

    The inode of its socket table: procfs makes that file once per namespace, and unlike `ns/net` anyone may stat it.
    """
    try:
        return (folder / str(pid) / "net" / "tcp").stat().st_ino
    except OSError:
        return None


def hides_processes(folder: Path) -> bool:
    """Return whether that /proc is mounted with `hidepid`, which hides other users' processes."""
    try:
        mounts = (folder / "self" / "mounts").read_text(errors="replace").splitlines()
    except OSError:
        return False
    proc = [line.split() for line in mounts if " proc " in line]
    return any(fields[1] == str(folder.absolute()) and "hidepid=" in fields[3] for fields in proc if len(fields) > 3)


def read_processes(folder: Path) -> Processes:
    """Return the node's processes by network namespace."""
    found = Processes()
    for pid in process_ids(folder, found.not_read):
        try:
            content = (folder / str(pid) / "cgroup").read_bytes()
        except PermissionError:
            found.not_read[PROCESS_UNREADABLE] += 1
            continue
        except OSError:  # it has ended
            continue
        owner = owner_in_hierarchies(cgroup_paths(content))
        pod = owner.uids[0] if owner.uids and owner.certain else None
        if pod is not None:
            found.pods.add(pod)
        number = network_number(folder, pid)
        if number is None:
            continue
        network = found.networks.setdefault(number, Network())
        network.processes.append(pid)
        if pod is None:
            network.outside = True
        else:
            network.pods.add(pod)
    if hides_processes(folder):
        found.not_read[HIDDEN] += 1
    return found
