"""The sample shop of a real cluster, declared: its objects, and the edges that its pods make in every window.

Each count is a prime, and each pod makes its connects in every window, away from its borders: the truth of an edge is
its count times the pods that make it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.real_cluster.images import POD_IMAGE

NAMESPACE = "shop"
Object = dict[str, Any]
EVERYWHERE = [{"operator": "Exists"}]


@dataclass(frozen=True, slots=True)
class Call:
    """What each pod of a workload does in a window: that many connects to a service, or to `outside`."""

    target: str
    port: int
    count: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """Pods of one kind: what they listen on, what they call."""

    name: str
    kind: str = "Deployment"
    pods: int = 1
    listen: tuple[int, ...] = ()
    calls: tuple[Call, ...] = ()
    service_port: int | None = None
    host_network: bool = False


def workloads(nodes: int) -> tuple[Workload, ...]:
    """The shop on a cluster of that many nodes."""
    return (
        Workload(
            "frontend",
            pods=2,
            calls=(
                Call("cart", 8080, 23),
                Call("catalog", 8080, 19),
                Call("payments", 9090, 7, refused=True),
                Call("outside", 443, 3),
            ),
        ),
        Workload("cart", pods=2, listen=(8080,), calls=(Call("database", 5432, 11),), service_port=8080),
        Workload("catalog", pods=2, listen=(8080,), calls=(Call("database", 5432, 13),), service_port=8080),
        # A broken dependency: the service leads to a port on which nothing listens.
        Workload("payments", listen=(8443,), service_port=9090),
        Workload("database", kind="StatefulSet", listen=(5432,), service_port=5432),
        Workload("watcher", kind="DaemonSet", pods=nodes, calls=(Call("cart", 8080, 5),), host_network=True),
        Workload("report", kind="CronJob", calls=(Call("database", 5432, 17),)),
    )


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a window's truth."""

    source: str
    target: str
    port: int
    attempts: int
    established: int
    failed: int


def truth(every: tuple[Workload, ...]) -> list[Edge]:
    """The edges of every whole window in which all pods run."""
    edges = []
    for workload in every:
        for call in workload.calls:
            made = call.count * workload.pods
            done = 0 if call.refused else made
            edges.append(Edge(workload.name, call.target, call.port, made, done, made - done))
    return edges


def container(name: str, arguments: list[str]) -> Object:
    """A container of the test pods' program, without any privilege."""
    return {
        "name": name,
        "image": POD_IMAGE,
        "imagePullPolicy": "Never",
        "args": arguments,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def pod_template(workload: Workload, outside: str, seconds: int, minute: str = "now") -> Object:
    """The pods: one container that serves, one that calls, as far as the workload does either.

    `seconds`: of a window; `minute`: whose job it is, where the workload is a cron job.
    """
    containers = []
    if workload.listen:
        containers.append(container("server", ["serve", *map(str, workload.listen)]))
    if workload.calls:
        words = ["job", f"{seconds}s", minute] if workload.kind == "CronJob" else ["call", f"{seconds}s"]
        pairs = [
            text
            for call in workload.calls
            for text in (
                f"{outside if call.target == 'outside' else f'{call.target}.{NAMESPACE}.svc'}:{call.port}",
                str(call.count),
            )
        ]
        containers.append(container("client", [*words, *pairs]))
    spec: Object = {
        "containers": containers,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if workload.host_network:
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet", "tolerations": EVERYWHERE}
    if workload.pods > 1 and workload.kind == "Deployment":
        spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        spec["topologySpreadConstraints"] = [{**spread, "labelSelector": {"matchLabels": {"app": workload.name}}}]
    return {"metadata": {"labels": {"app": workload.name}}, "spec": spec}


def job_spec(workload: Workload, outside: str, seconds: int, minute: str) -> Object:
    """One job of a cron job."""
    template = pod_template(workload, outside, seconds, minute)
    template["spec"]["restartPolicy"] = "Never"
    return {"template": template, "ttlSecondsAfterFinished": 600}


def first_job(workload: Workload, cron_job: Object, outside: str, seconds: int, now_seconds: int) -> Object:
    """The job that a cron job, had it been there, would have made at the last full minute, and under that name."""
    minute = now_seconds // 60
    start = datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": workload.name, "uid": cron_job["metadata"]["uid"]}
    metadata = {
        "name": f"{workload.name}-{minute}",
        "namespace": NAMESPACE,
        "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        "ownerReferences": [{**owner, "controller": True}],
    }
    spec = job_spec(workload, outside, seconds, start)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def workload_object(workload: Workload, outside: str, seconds: int) -> Object:
    """The object that makes the pods."""
    metadata = {"name": workload.name, "namespace": NAMESPACE}
    if workload.kind == "CronJob":
        job = {"spec": job_spec(workload, outside, seconds, "now")}
        spec: Object = {"schedule": "* * * * *", "jobTemplate": job, "successfulJobsHistoryLimit": 10}
        return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    template = pod_template(workload, outside, seconds)
    spec = {"selector": {"matchLabels": {"app": workload.name}}, "template": template}
    if workload.kind != "DaemonSet":
        spec["replicas"] = workload.pods
    if workload.kind == "StatefulSet":
        spec["serviceName"] = workload.name
    return {"apiVersion": "apps/v1", "kind": workload.kind, "metadata": metadata, "spec": spec}


def service_object(workload: Workload) -> Object:
    """The Service in front of the workload, on its service port."""
    spec = {"selector": {"app": workload.name}, "ports": [{"name": "tcp", "port": workload.service_port}]}
    metadata = {"name": workload.name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def objects(every: tuple[Workload, ...], outside: str, seconds: int = 60) -> list[Object]:
    """All objects of the shop, which makes its connects in windows of that many seconds."""
    found: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    found += [service_object(one) for one in every if one.service_port is not None]
    return [*found, *(workload_object(one, outside, seconds) for one in every)]
