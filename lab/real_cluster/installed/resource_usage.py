"""Measures what Podsonar costs the cluster it runs on: CPU and memory per pod, requests to the API server.

CPU and memory come from the pods' own cgroups, so that everything counts: the loader while it compiles, kernel tables,
page cache in use. Requests come from the API server's own audit log.
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
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.daemons import MOUNTS
from lab.real_cluster.installed import install
from lab.simulated import cgroups
from podsonar.errors import ApiServerError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

STEP_SECONDS = 0.5
MIB = 1 << 20
ACCOUNT = f"system:serviceaccount:{install.NAMESPACE}:"
ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True)
class Memory:
    """A pod's memory at one moment, in bytes: what cannot be dropped, and the anonymous part of it."""

    working_set: int
    anonymous: int


@dataclass(frozen=True, slots=True)
class MeasuredPod:
    """A pod of the release and its cgroup folders that count CPU and memory."""

    name: str
    component: str
    node: str
    cpu: Path
    memory: Path


@dataclass(slots=True)
class Usage:
    """CPU and memory of a pod in a window."""

    pod: MeasuredPod
    cpu_seconds: float = 0.0
    samples: list[Memory] = field(default_factory=list)

    def row(self, seconds: float) -> str:
        """The line of the table for a window of that many seconds."""
        anonymous = statistics.median(usage.anonymous for usage in self.samples) / MIB
        usual = statistics.median(usage.working_set for usage in self.samples) / MIB
        highest = max(usage.working_set for usage in self.samples) / MIB
        share = 100 * self.cpu_seconds / seconds
        figures = f"{self.cpu_seconds:6.2f} s {share:5.2f} % {anonymous:8.1f} MiB {usual:8.1f} MiB {highest:8.1f} MiB"
        return f"{self.pod.component:<11} {self.pod.node:<7} {figures}"


TABLE_HEAD = f"{'':<19} {'CPU':>8} {'of one':>7} {'anonymous':>12} {'working set':>12} {'highest':>12}"


def parse_flat_keyed(text: str) -> dict[str, int]:
    """The lines of a cgroup's flat keyed file."""
    return {name: int(value) for name, _, value in (line.partition(" ") for line in text.splitlines())}


def memory_of(folder: Path) -> Memory:
    """The memory of a cgroup of either version; working set as the kubelet computes it."""
    counters = parse_flat_keyed((folder / "memory.stat").read_text())
    if (folder / "memory.current").exists():
        used, idle, anonymous = (
            int((folder / "memory.current").read_text()),
            counters["inactive_file"],
            counters["anon"],
        )
    else:
        used = int((folder / "memory.usage_in_bytes").read_text())
        idle, anonymous = counters["total_inactive_file"], counters["total_rss"]
    return Memory(max(0, used - idle), anonymous)


def cpu_seconds_of(folder: Path) -> float:
    """The CPU time that a cgroup of either version has used."""
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text()) / NS_PER_SECOND
    return parse_flat_keyed((folder / "cpu.stat").read_text())["usage_usec"] / 1e6


def pods(cluster: RealCluster) -> list[MeasuredPod]:
    """The running pods of the release, by component and node."""
    query = {"labelSelector": "app.kubernetes.io/part-of=podsonar", "fieldSelector": "status.phase=Running"}
    groups = {node.name: node.cgroup for node in cluster.layout.nodes}
    found = []
    for pod in cluster.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]:
        about, node = pod["metadata"], pod["spec"]["nodeName"]
        folders = pod_folders(groups[node], about["uid"])
        component = about["labels"]["app.kubernetes.io/component"]
        cpu = folder_with(folders, about["name"], "cpuacct.usage", "cpu.stat")
        memory = folder_with(folders, about["name"], "memory.usage_in_bytes", "memory.current")
        found.append(MeasuredPod(about["name"], component, node, cpu, memory))
    return sorted(found, key=lambda pod: (pod.component, pod.node))


def pod_folders(group: str, uid: str) -> list[Path]:
    """The pod's cgroup in every hierarchy that has it."""
    tops = cgroups.hierarchies(MOUNTS.read_text())
    classes = ("", "burstable", "besteffort")
    usages = (top / group / "kubepods" / name / f"pod{uid}" for top in tops for name in classes)
    return [path for path in usages if path.exists()]


def folder_with(folders: Iterable[Path], pod: str, *files: str) -> Path:
    """The first folder that has one of the files, in the order of the files; raises ApiServerError if none has."""
    usages = list(folders)
    for file in files:
        for path in usages:
            if (path / file).exists():
                return path
    raise ApiServerError(f"pod {pod}: no cgroup with {' or '.join(files)}, expected one below {usages}")


def measure(cluster: RealCluster, window: Window, stop: threading.Event) -> list[Usage]:
    """Measure each pod from the window's start to its end; call it before the window begins."""
    usages = [Usage(pod) for pod in pods(cluster)]
    stop.wait((window.start_ns - time.time_ns()) / NS_PER_SECOND)
    before = [cpu_seconds_of(usage.pod.cpu) for usage in usages]
    while time.time_ns() < window.end_ns and not stop.is_set():
        for usage in usages:
            usage.samples.append(memory_of(usage.pod.memory))
        stop.wait(min(STEP_SECONDS, max(0.0, (window.end_ns - time.time_ns()) / NS_PER_SECOND)))
    for usage, seconds in zip(usages, before, strict=True):
        usage.cpu_seconds = cpu_seconds_of(usage.pod.cpu) - seconds
    return usages


def api_requests(cluster: RealCluster, window: Window) -> list[audit.AuditedRequest]:
    """The requests that the API server received in the window."""
    with cluster.daemons.log("audit").open("rb") as lines:
        return list(audit.requests(lines, window))


def requests_of(requests: Iterable[audit.AuditedRequest], component: str) -> list[audit.AuditedRequest]:
    """The requests of one component, by its service account."""
    return [usage for usage in requests if usage.user.startswith(f"{ACCOUNT}{install.RELEASE}-{component}")]


def request_lines(requests: Sequence[audit.AuditedRequest]) -> list[str]:
    """The table of requests per program, and the purpose of Podsonar's own."""
    counters = [f"  {count:>5}  {program}" for program, count in audit.by_program(requests).most_common()]
    for component in ("collector", "manager", "node-agent"):
        verbs_and_resources = Counter(usage.what for usage in requests_of(requests, component))
        counters.append(f"  {component}: {verbs_and_resources.total() or 'none'}")
        words = sorted({what.partition(" ")[0] for what in verbs_and_resources})
        counters += [f"    {word}: {resources_of(verbs_and_resources, word)}" for word in words]
    return [*counters, f"  without a name: {sum(usage.user == ANONYMOUS for usage in requests) or 'none'}"]


def resources_of(verbs_and_resources: Counter[str], word: str) -> str:
    """The resources of one verb, with the count where it is not one."""
    chosen = {
        what.removeprefix(f"{word} "): count
        for what, count in verbs_and_resources.items()
        if what.startswith(f"{word} ")
    }
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in sorted(chosen.items()))


def table(usages: Sequence[Usage], requests: Sequence[audit.AuditedRequest], window: Window) -> list[str]:
    """The lines to print."""
    seconds = (window.end_ns - window.start_ns) / NS_PER_SECOND
    return [
        f"own cost in the window {window.id} of {seconds:.0f} s:",
        TABLE_HEAD,
        *(usage.row(seconds) for usage in usages),
        "requests to the API server, by user agent:",
        *request_lines(requests),
    ]


def window_seconds(cluster: RealCluster) -> int:
    """The length of the release's windows, which follow each other."""
    values = install.helm(cluster, "get", "values", install.RELEASE, "-n", install.NAMESPACE, "--all", "-o", "json")
    minutes: float = orjson.loads(values)["data"]["collectionWindowInMin"]
    return round(minutes * 60)
