"""The kernel's own TCP counters of each network namespace of the node, as its tasks show them.

/proc/<task>/net/snmp (RFC 4022: ActiveOpens, PassiveOpens, AttemptFails) shows a namespace's counters to anyone.
AttemptFails has the half-open connections, too, that a peer resets (a port scan, a client that gives up): no socket of
the namespace has connected or was accepted, and EmbryonicRsts in /proc/<task>/net/netstat counts the same ones.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from podsonar.model import WitnessCounts

MOST_TASKS = 16  # by which a namespace's counters are read; one that has not ended is enough
SHOWN_TASKS = 3  # that decide which counters are a namespace's


class Network(NamedTuple):
    """A network namespace: some of its tasks, and the pods that have one in it."""

    tasks: list[int]
    pods: set[str]


def networks_of(rows: Iterable[tuple[int, int, int]], pod_of_cgroup: Callable[[int], str | None]) -> dict[int, Network]:
    """Return the namespaces of tasks `(cgroup, task, namespace)`, with some of its tasks each."""
    found: dict[int, Network] = {}
    for cgroup, task, namespace in rows:
        network = found.setdefault(namespace, Network([], set()))
        if len(network.tasks) < MOST_TASKS:
            network.tasks.append(task)
        pod = pod_of_cgroup(cgroup)
        if pod is not None:
            network.pods.add(pod)
    return found


class KernelCounters:
    """The kernel's counters as the tasks of the node show them."""

    def __init__(self, proc_folder: Path) -> None:
        # Of a task; text, since a Path costs half as much as the reading.
        self.path, self.further = f"{proc_folder}/%d/net/snmp", f"{proc_folder}/%d/net/netstat"

    def file_of(self, task: int) -> int | None:
        """Return the inode of the counters of a task's network namespace now; None if the task has ended."""
        try:
            return os.stat(self.path % task).st_ino  # noqa: PTH116
        except OSError:
            return None

    def read(self, task: int) -> tuple[int, bytes] | None:
        """Return that inode and the text of the counters, for `parsed`; None if the task has ended."""
        try:
            with open(self.path % task, "rb", buffering=0) as counters:  # noqa: PTH123
                return os.fstat(counters.fileno()).st_ino, counters.readall()
        except OSError:
            return None

    def resets(self, task: int) -> int | None:
        """Return how many half-open connections a peer has reset; None if the task has ended. Costs twice a `read`."""
        try:
            with open(self.further % task, "rb", buffering=0) as counters:  # noqa: PTH123
                names, values = (line.split() for line in counters.readall().splitlines()[:2])
            return int(values[names.index(b"EmbryonicRsts")])
        except (OSError, ValueError, IndexError):
            return None


def parsed(text: bytes) -> WitnessCounts | None:
    """Return the counts of TCP; None if there are none."""
    try:
        names, values = (line.split() for line in text.splitlines() if line.startswith(b"Tcp:"))
        found = dict(zip(names[1:], map(int, values[1:]), strict=True))
        return WitnessCounts(found[b"ActiveOpens"], found[b"PassiveOpens"], found[b"AttemptFails"])
    except (ValueError, KeyError):
        return None


def files_of(networks: Mapping[int, Network], kernel: KernelCounters) -> dict[int, int]:
    """Return the file of each namespace's counters, of those that are known for sure.

    A task may have entered another namespace since it was listed: most tasks of a namespace decide, and a file that two
    namespaces show is that of the one with more of them.
    """
    claims: dict[int, Counter[int]] = {}
    for namespace, network in networks.items():
        shown = Counter(file for task in network.tasks[:SHOWN_TASKS] if (file := kernel.file_of(task)))
        for file, tasks in shown.most_common(1):
            claims.setdefault(file, Counter())[namespace] = tasks
    found = {}
    for file, by in claims.items():
        (namespace, most), *others = by.most_common(2)
        if not others or others[0][1] < most:
            found[namespace] = file
    return found
