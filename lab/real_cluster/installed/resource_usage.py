"""What Podsonar costs the cluster that it runs on: CPU and memory of each pod, requests to the API server.

CPU and memory are the pods' own cgroups', so that everything in them counts: the loader while it compiles, the kernel's
tables, page cache in use. Requests are the API server's own audit log's.
"""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from lab.real_cluster import audit
from lab.real_cluster.cluster import Cluster
from lab.real_cluster.daemons import MOUNTS
from lab.real_cluster.installed import install
from lab.simulated import cgroups
from podsonar.errors import ApiServerError
from podsonar.model import NS_PER_SECOND, Window

STEP_SECONDS = 0.5
MIB = 1 << 20
ACCOUNT = f"system:serviceaccount:{install.NAMESPACE}:"
ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True)
class Memory:
    """A pod's memory at one moment, in bytes: what cannot be dropped, and of it what no file stands behind."""

    working_set: int
    anonymous: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the release and the folders of its cgroup that count CPU and memory."""

    name: str
    component: str
    node: str
    cpu: Path
    memory: Path


@dataclass(slots=True)
class Usage:
    """What a pod used in a window."""

    pod: Pod
    cpu_seconds: float = 0.0
    samples: list[Memory] = field(default_factory=list)

    def row(self, seconds: float) -> str:
        """A line of the table."""
        rest = statistics.median(one.anonymous for one in self.samples) / MIB
        usual = statistics.median(one.working_set for one in self.samples) / MIB
        highest = max(one.working_set for one in self.samples) / MIB
        share = 100 * self.cpu_seconds / seconds
        figures = f"{self.cpu_seconds:6.2f} s {share:5.2f} % {rest:8.1f} MiB {usual:8.1f} MiB {highest:8.1f} MiB"
        return f"{self.pod.component:<11} {self.pod.node:<7} {figures}"


HEAD = f"{'':<19} {'CPU':>8} {'of one':>7} {'anonymous':>12} {'working set':>12} {'highest':>12}"


def numbers(text: str) -> dict[str, int]:
    """The lines of a cgroup's flat keyed file."""
    return {name: int(value) for name, _, value in (line.partition(" ") for line in text.splitlines())}


def memory_of(folder: Path) -> Memory:
    """The memory of a cgroup of either version; working set as the kubelet counts it."""
    told = numbers((folder / "memory.stat").read_text())
    if (folder / "memory.current").exists():
        used, idle, anonymous = int((folder / "memory.current").read_text()), told["inactive_file"], told["anon"]
    else:
        used = int((folder / "memory.usage_in_bytes").read_text())
        idle, anonymous = told["total_inactive_file"], told["total_rss"]
    return Memory(max(0, used - idle), anonymous)


def cpu_seconds_of(folder: Path) -> float:
    """The CPU time that a cgroup of either version has used."""
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text()) / NS_PER_SECOND
    return numbers((folder / "cpu.stat").read_text())["usage_usec"] / 1e6


def pods(cluster: Cluster) -> list[Pod]:
    """The running pods of the release, by component and node."""
    query = {"labelSelector": "app.kubernetes.io/part-of=podsonar", "fieldSelector": "status.phase=Running"}
    groups = {node.name: node.cgroup for node in cluster.layout.nodes}
    found = []
    for pod in cluster.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]:
        about, node = pod["metadata"], pod["spec"]["nodeName"]
        folders = pod_folders(groups[node], about["uid"])
        component = about["labels"]["app.kubernetes.io/component"]
        cpu = counted(folders, about["name"], "cpuacct.usage", "cpu.stat")
        memory = counted(folders, about["name"], "memory.usage_in_bytes", "memory.current")
        found.append(Pod(about["name"], component, node, cpu, memory))
    return sorted(found, key=lambda pod: (pod.component, pod.node))


def pod_folders(group: str, uid: str) -> list[Path]:
    """The cgroup of a pod in every hierarchy that has it."""
    tops = cgroups.hierarchies(MOUNTS.read_text())
    classes = ("", "burstable", "besteffort")
    every = (top / group / "kubepods" / name / f"pod{uid}" for top in tops for name in classes)
    return [path for path in every if path.exists()]


def counted(folders: Iterable[Path], pod: str, *files: str) -> Path:
    """The folder that has the first of the files that any has."""
    every = list(folders)
    for file in files:
        for path in every:
            if (path / file).exists():
                return path
    raise ApiServerError(f"pod {pod}: no cgroup with {' or '.join(files)}, expected one below {every}")


def measure(cluster: Cluster, window: Window, stop: threading.Event) -> list[Usage]:
    """What each pod uses from the window's start to its end; to be called before it begins."""
    every = [Usage(pod) for pod in pods(cluster)]
    stop.wait((window.start_ns - time.time_ns()) / NS_PER_SECOND)
    before = [cpu_seconds_of(one.pod.cpu) for one in every]
    while time.time_ns() < window.end_ns and not stop.is_set():
        for one in every:
            one.samples.append(memory_of(one.pod.memory))
        stop.wait(min(STEP_SECONDS, max(0.0, (window.end_ns - time.time_ns()) / NS_PER_SECOND)))
    for one, seconds in zip(every, before, strict=True):
        one.cpu_seconds = cpu_seconds_of(one.pod.cpu) - seconds
    return every


def asked(cluster: Cluster, window: Window) -> list[audit.Request]:
    """The requests that the API server received in the window."""
    with cluster.daemons.log("audit").open("rb") as lines:
        return list(audit.requests(lines, window))


def own(requests: Iterable[audit.Request], component: str) -> list[audit.Request]:
    """Those that a component made, by its service account."""
    return [one for one in requests if one.user.startswith(f"{ACCOUNT}{install.RELEASE}-{component}")]


def request_lines(requests: Sequence[audit.Request]) -> list[str]:
    """The table of requests by program, and what Podsonar's own were for."""
    told = [f"  {count:>5}  {program}" for program, count in audit.by_program(requests).most_common()]
    for component in ("collector", "manager", "node-agent"):
        made = Counter(one.what for one in own(requests, component))
        told.append(f"  {component}: {made.total() or 'none'}")
        words = sorted({what.partition(" ")[0] for what in made})
        told += [f"    {word}: {times(made, word)}" for word in words]
    return [*told, f"  without a name: {sum(one.user == ANONYMOUS for one in requests) or 'none'}"]


def times(made: Counter[str], word: str) -> str:
    """The resources of one verb; how many times where it is not once."""
    chosen = {what.removeprefix(f"{word} "): count for what, count in made.items() if what.startswith(f"{word} ")}
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in sorted(chosen.items()))


def table(usages: Sequence[Usage], requests: Sequence[audit.Request], window: Window) -> list[str]:
    """The lines to print."""
    seconds = (window.end_ns - window.start_ns) / NS_PER_SECOND
    return [
        f"own cost in the window {window.id} of {seconds:.0f} s:",
        HEAD,
        *(one.row(seconds) for one in usages),
        "requests to the API server, by user agent:",
        *request_lines(requests),
    ]


def window_seconds(cluster: Cluster) -> int:
    """The length of the release's windows, which follow each other."""
    said = install.helm(cluster, "get", "values", install.RELEASE, "-n", install.NAMESPACE, "--all", "-o", "json")
    minutes: float = orjson.loads(said)["data"]["collectionWindowInMin"]
    return round(minutes * 60)
