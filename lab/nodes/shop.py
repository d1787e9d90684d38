"""The sample shop of a real cluster, declared: its objects, and the edges that its pods make in every minute.

Each count is a prime, and each pod makes its connects between second 8 and second 52 of every minute: in a window of
one minute the truth of an edge is its count times the pods that make it.
"""

from dataclasses import dataclass
from typing import Any

from lab.nodes.images import POD_IMAGE

NAMESPACE = "shop"
Object = dict[str, Any]
EVERYWHERE = [{"operator": "Exists"}]


@dataclass(frozen=True, slots=True)
class Call:
    """What each pod of a workload does in a minute: that many connects to a service, or to `outside`."""

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
    """One edge of a minute's truth."""

    source: str
    target: str
    port: int
    attempts: int
    established: int
    failed: int


def truth(every: tuple[Workload, ...]) -> list[Edge]:
    """The edges of every whole minute in which all pods run."""
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


def pod_template(workload: Workload, outside: str) -> Object:
    """The pods: one container that serves, one that calls, as far as the workload does either."""
    containers = []
    if workload.listen:
        containers.append(container("server", ["serve", *map(str, workload.listen)]))
    if workload.calls:
        word = "once" if workload.kind == "CronJob" else "call"
        pairs = [
            text
            for call in workload.calls
            for text in (
                f"{outside if call.target == 'outside' else f'{call.target}.{NAMESPACE}.svc'}:{call.port}",
                str(call.count),
            )
        ]
        containers.append(container("client", [word, *pairs]))
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


def workload_object(workload: Workload, outside: str) -> Object:
    """The object that makes the pods."""
    metadata = {"name": workload.name, "namespace": NAMESPACE}
    template = pod_template(workload, outside)
    if workload.kind == "CronJob":
        template["spec"]["restartPolicy"] = "Never"
        job = {"spec": {"template": template, "ttlSecondsAfterFinished": 600}}
        # Started in a minute, each job makes its connects in the next one: one job's worth in every minute.
        spec: Object = {"schedule": "* * * * *", "jobTemplate": job, "successfulJobsHistoryLimit": 10}
        return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
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


def objects(every: tuple[Workload, ...], outside: str) -> list[Object]:
    """All objects of the shop."""
    found: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    found += [service_object(one) for one in every if one.service_port is not None]
    return [*found, *(workload_object(one, outside) for one in every)]
