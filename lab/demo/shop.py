"""The demo's cluster, declared: Kubernetes objects of the namespace `shop`, and the edges that its pods make."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from lab.simulated.network import OUTSIDE, Translation
from lab.simulated.pods import Lab

NAMESPACE = "shop"
NODE = "lab-node"
NODE_ADDRESS = "192.0.2.10"
CREATED = "2026-01-05T08:00:00Z"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoWorkload:
    """A Deployment: the last address parts of its pods, and the ports on which they listen."""

    name: str
    hosts: tuple[int, ...]
    listen: tuple[int, ...] = ()

    def pod(self, number: int) -> str:
        """The name of the workload's pod of that number."""
        return f"{self.name}-{stable_hash(self.name)[:9]}-{stable_hash(f'{self.name}{number}')[:5]}"


@dataclass(frozen=True, slots=True)
class DemoService:
    """A Service in front of a workload; headless without an address."""

    name: str
    workload: str
    address: str | None
    port: int


@dataclass(frozen=True, slots=True)
class DemoEdge:
    """Exactly `count` connects of one workload's first pod to an address, in a mode of the pod's program."""

    source: str
    kind: str
    name: str
    address: str
    port: int
    count: int
    mode: str = "close"
    refused: bool = False

    def truth(self) -> dict[str, Any]:
        """The edge as a correct map shows it."""
        opened_before = self.mode == "hold"
        return {
            "source": self.source,
            "destination": {"kind": self.kind, "name": self.name, "address": self.address},
            "port": self.port,
            "attempts": 0 if opened_before else self.count,
            "established": 0 if self.refused else self.count,
            "failed": self.count if self.refused else 0,
            "openedBefore": opened_before,
            "shortLived": self.mode == "fork",
        }


WORKLOADS = (
    DemoWorkload("frontend", (10,)),
    DemoWorkload("cart", (11, 12), (8080,)),
    DemoWorkload("catalog", (13, 14), (8080,)),
    DemoWorkload("payments", (15,), (9090,)),
    DemoWorkload("ledger", (16,)),
    DemoWorkload("pinger", (17,)),
    DemoWorkload("warehouse", (18,)),
)
SERVICES = (
    DemoService("cart", "cart", "10.96.7.10", 8080),
    DemoService("catalog", "catalog", "10.96.7.11", 8080),
    DemoService("catalog-v6", "catalog", "fd00:96:7::11", 8080),
    DemoService("payments", "payments", None, 9090),
    DemoService("ledger", "ledger", "10.96.7.13", 8443),
)
PAYMENTS = ("payments", "10.244.7.15", "fd00:244:7::15")
EDGES = (
    DemoEdge("frontend", "Service", "cart", "10.96.7.10", 8080, 23),
    DemoEdge("frontend", "Service", "catalog", "10.96.7.11", 8080, 19),
    DemoEdge("frontend", "Service", "catalog-v6", "fd00:96:7::11", 8080, 17),
    DemoEdge("frontend", "External", OUTSIDE, OUTSIDE, 443, 43),
    DemoEdge("cart", "Pod", "payments", "10.244.7.15", 9090, 13),
    DemoEdge("cart", "Service", "ledger", "10.96.7.13", 8443, 11, refused=True),
    DemoEdge("catalog", "Service", "cart", "10.96.7.10", 8080, 5),
    DemoEdge("payments", "External", OUTSIDE, OUTSIDE, 443, 7),
    DemoEdge("payments", "Service", "catalog-v6", "fd00:96:7::11", 8080, 41),
    DemoEdge("pinger", "Service", "cart", "10.96.7.10", 8080, 29, mode="fork"),
    DemoEdge("warehouse", "Service", "cart", "10.96.7.10", 8080, 31),
    DemoEdge("warehouse", "Pod", "payments", "fd00:244:7::15", 9090, 37),
    DemoEdge("warehouse", "Service", "catalog", "10.96.7.11", 8080, 3, mode="hold"),
)


def stable_hash(text: str) -> str:
    """Hex digits that replace the random parts of names: the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


def uid(kind: str, name: str) -> str:
    """The uid of an object of the recorded cluster; a real API server assigns its own."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"podsonar/{NAMESPACE}/{kind}/{name}"))


def addresses(host: int) -> tuple[str, str]:
    """The IPv4 and IPv6 address of the pod with that last part."""
    return f"10.244.7.{host}", f"fd00:244:7::{host}"


def api_object(kind: str, version: str, name: str, owner: tuple[str, str] | None = None, **rest: Any) -> Object:  # noqa: ANN401
    """An object with the metadata that all objects have; `owner` is (kind, name) of its controller."""
    metadata: Object = {"name": name, "uid": uid(kind, name), "creationTimestamp": CREATED, "resourceVersion": "1"}
    if kind not in {"Namespace", "Node"}:
        metadata["namespace"] = NAMESPACE
    if owner is not None:
        reference = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": uid(*owner)}
        metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    labels = rest.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def pod_object(workload: DemoWorkload, number: int) -> Object:
    """One running pod of the workload."""
    both = addresses(workload.hosts[number])
    replica_set = f"{workload.name}-{stable_hash(workload.name)[:9]}"
    container = {"name": workload.name, "image": f"registry.example/{workload.name}:1.0"}
    status = {
        "phase": "Running",
        "podIP": both[0],
        "podIPs": [{"ip": address} for address in both],
        "hostIP": NODE_ADDRESS,
        "startTime": CREATED,
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": workload.name,
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": CREATED}},
            }
        ],
    }
    return api_object(
        "Pod",
        "v1",
        workload.pod(number),
        ("ReplicaSet", replica_set),
        labels={"app": workload.name},
        spec={"nodeName": NODE, "containers": [container]},
        status=status,
    )


def workload_objects(workload: DemoWorkload) -> list[Object]:
    """The Deployment, its ReplicaSet and its pods."""
    labels = {"app": workload.name}
    container = {"name": workload.name, "image": f"registry.example/{workload.name}:1.0"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": len(workload.hosts), "selector": {"matchLabels": labels}, "template": template}
    name = f"{workload.name}-{stable_hash(workload.name)[:9]}"
    deployment = api_object("Deployment", "apps/v1", workload.name, labels=labels, spec=spec)
    replica_set = api_object("ReplicaSet", "apps/v1", name, ("Deployment", workload.name), labels=labels, spec=spec)
    return [deployment, replica_set, *(pod_object(workload, number) for number in range(len(workload.hosts)))]


def service_objects(service: DemoService) -> list[Object]:
    """The Service and its EndpointSlice."""
    workload = next(one for one in WORKLOADS if one.name == service.workload)
    six = service.address is not None and ":" in service.address
    family = "IPv6" if six else "IPv4"
    address = service.address or "None"
    port = {"name": "tcp", "protocol": "TCP", "port": service.port, "targetPort": service.port}
    spec = {
        "type": "ClusterIP",
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": [family],
        "selector": {"app": service.workload},
        "ports": [port],
    }
    endpoints = [
        {
            "addresses": [addresses(host)[six]],
            "conditions": {"ready": True},
            "nodeName": NODE,
            "targetRef": {
                "kind": "Pod",
                "namespace": NAMESPACE,
                "name": workload.pod(number),
                "uid": uid("Pod", workload.pod(number)),
            },
        }
        for number, host in enumerate(workload.hosts)
    ]
    endpoint_slice = api_object(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        f"{service.name}-{stable_hash(service.name)[:5]}",
        labels={"kubernetes.io/service-name": service.name},
        addressType=family,
        endpoints=endpoints,
        ports=[{"name": "tcp", "protocol": "TCP", "port": service.port}],
    )
    return [api_object("Service", "v1", service.name, spec=spec), endpoint_slice]


def objects() -> list[Object]:
    """Every object of the cluster, owners before what they own."""
    node_status = {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]}
    pod_ranges = {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24", "fd00:244:7::/64"]}
    everything = [
        api_object("Namespace", "v1", NAMESPACE, status={"phase": "Active"}),
        api_object("Node", "v1", NODE, spec=pod_ranges, status=node_status),
    ]
    for workload in WORKLOADS:
        everything += workload_objects(workload)
    for service in SERVICES:
        everything += service_objects(service)
    return everything


def translations() -> list[Translation]:
    """The node's translations for the services that have a ClusterIP."""
    hosts = {workload.name: workload.hosts for workload in WORKLOADS}
    return [
        Translation(
            one.address,
            one.port,
            tuple(addresses(host)[":" in one.address] for host in hosts[one.workload]),
            one.port,
        )
        for one in SERVICES
        if one.address is not None
    ]


def start_pods(lab: Lab, uids: dict[str, str]) -> None:
    """Start all pods in the lab; `uids` maps pod names to the uids that the API server assigned."""
    for workload in WORKLOADS:
        for number, host in enumerate(workload.hosts):
            name = workload.pod(number)
            lab.add_pod(name, uids[name], addresses(host), workload.listen)
    lab.add_outside((443,))
    lab.translate(translations())


def first_pods() -> dict[str, str]:
    """The pod of each workload that connects."""
    return {workload.name: workload.pod(0) for workload in WORKLOADS}


def make_connects(lab: Lab, before_window: bool) -> list[dict[str, Any]]:
    """Make the connects of the edges before or in the window; return the truth with the counts of the pods' own
    program.
    """
    pods = first_pods()
    done = []
    for edge in EDGES:
        if (edge.mode == "hold") == before_window:
            result = lab.pods[pods[edge.source]].connect(edge.address, edge.port, edge.count, edge.mode)
            done.append({**edge.truth(), "program": result})
    return done
