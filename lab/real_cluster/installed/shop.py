"""The sample shop of a real cluster, declared: its objects, and the edges that its pods make in every window.

Each count is a prime, and each pod connects in every window, away from its borders: the true count of an edge is its
count times the number of pods that make it.
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
    """The connects of each pod of a workload in a window: `count` to a service, or to `outside`."""

    target: str
    port: int
    count: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class ShopWorkload:
    """Pods of one kind: the ports on which they listen, and their calls."""

    name: str
    kind: str = "Deployment"
    pods: int = 1
    listen: tuple[int, ...] = ()
    calls: tuple[Call, ...] = ()
    service_port: int | None = None
    host_network: bool = False


def workloads(nodes: int) -> tuple[ShopWorkload, ...]:
    """The shop on a cluster of that many nodes."""
    return (
        ShopWorkload(
            "frontend",
            pods=2,
            calls=(
                Call("cart", 8080, 23),
                Call("catalog", 8080, 19),
                Call("payments", 9090, 7, refused=True),
                Call("outside", 443, 3),
            ),
        ),
        ShopWorkload("cart", pods=2, listen=(8080,), calls=(Call("database", 5432, 11),), service_port=8080),
        ShopWorkload("catalog", pods=2, listen=(8080,), calls=(Call("database", 5432, 13),), service_port=8080),
        # A broken dependency: the service leads to a port on which nothing listens.
        ShopWorkload("payments", listen=(8443,), service_port=9090),
        ShopWorkload("database", kind="StatefulSet", listen=(5432,), service_port=5432),
        ShopWorkload("watcher", kind="DaemonSet", pods=nodes, calls=(Call("cart", 8080, 5),), host_network=True),
        ShopWorkload("report", kind="CronJob", calls=(Call("database", 5432, 17),)),
    )


@dataclass(frozen=True, slots=True)
class ShopEdge:
    """One edge of a window's truth."""

    source: str
    target: str
    port: int
    attempts: int
    established: int
    failed: int


def truth(all_workloads: tuple[ShopWorkload, ...]) -> list[ShopEdge]:
    """The edges of every full window in which all pods run."""
    edges = []
    for workload in all_workloads:
        for call in workload.calls:
            made = call.count * workload.pods
            done = 0 if call.refused else made
            edges.append(ShopEdge(workload.name, call.target, call.port, made, done, made - done))
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


def pod_template(workload: ShopWorkload, outside: str, seconds: int, minute: str = "now") -> Object:
    """The pod template: one container that serves, one that calls, as far as the workload does either.

    `seconds`: length of a window; `minute`: of the job, if the workload is a cron job.
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


def job_spec(workload: ShopWorkload, outside: str, seconds: int, minute: str) -> Object:
    """One job of a cron job."""
    template = pod_template(workload, outside, seconds, minute)
    template["spec"]["restartPolicy"] = "Never"
    return {"template": template, "ttlSecondsAfterFinished": 600}


def first_job(workload: ShopWorkload, cron_job: Object, outside: str, seconds: int, now_seconds: int) -> Object:
    """The job, under the same name, that the cron job would have created at the last full minute had it existed."""
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


def workload_object(workload: ShopWorkload, outside: str, seconds: int) -> Object:
    """The object that creates the pods."""
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


def service_object(workload: ShopWorkload) -> Object:
    """The Service in front of the workload, on its service port."""
    spec = {"selector": {"app": workload.name}, "ports": [{"name": "tcp", "port": workload.service_port}]}
    metadata = {"name": workload.name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def objects(all_workloads: tuple[ShopWorkload, ...], outside: str, seconds: int = 60) -> list[Object]:
    """All objects of the shop, which connects in windows of that many seconds."""
    objects_of_shop: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    objects_of_shop += [service_object(workload) for workload in all_workloads if workload.service_port is not None]
    return [*objects_of_shop, *(workload_object(workload, outside, seconds) for workload in all_workloads)]
