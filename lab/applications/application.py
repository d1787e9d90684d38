"""An application of simulated pods: its Kubernetes objects, its pods, and the node's translations of its services."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.simulated.network import Translation
from lab.simulated.pods import PROGRAM, Lab

NODE = "lab-node"
NODE_ADDRESS = "192.0.2.10"
CREATED = "2026-01-05T08:00:00Z"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment: the last address parts of its pods, and the ports on which they listen."""

    name: str
    hosts: tuple[int, ...]
    listen: tuple[int, ...] = ()

    def pod(self, number: int) -> str:
        """The name of the workload's pod of that number."""
        return f"{self.name}-{stable_hash(self.name)[:9]}-{stable_hash(f'{self.name}{number}')[:5]}"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service in front of a workload; headless without an address."""

    name: str
    workload: str
    address: str | None
    port: int


def stable_hash(text: str) -> str:
    """Hex digits that replace the random parts of names: the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


def addresses(host: int) -> tuple[str, str]:
    """The IPv4 and IPv6 address of the pod with that last part."""
    return f"10.244.7.{host}", f"fd00:244:7::{host}"


@dataclass(frozen=True, slots=True)
class Application:
    """Workloads and services of one namespace."""

    namespace: str
    workloads: Sequence[Workload]
    services: Sequence[Service]

    def objects(self) -> list[Object]:
        """Every object of the cluster, owners before what they own."""
        node_status = {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]}
        pod_ranges = {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24", "fd00:244:7::/64"]}
        everything = [
            self.api_object("Namespace", "v1", self.namespace, status={"phase": "Active"}),
            self.api_object("Node", "v1", NODE, spec=pod_ranges, status=node_status),
        ]
        for workload in self.workloads:
            everything += self.workload_objects(workload)
        for service in self.services:
            everything += self.service_objects(service)
        return everything

    def hosts_of(self, service: Service) -> tuple[int, ...]:
        """The last address parts of a service's pods."""
        return next(one.hosts for one in self.workloads if one.name == service.workload)

    def translations(self) -> list[Translation]:
        """The node's translations for the services that have a ClusterIP."""
        return [
            Translation(
                one.address,
                one.port,
                tuple(addresses(host)[":" in one.address] for host in self.hosts_of(one)),
                one.port,
            )
            for one in self.services
            if one.address is not None
        ]

    def start_pods(self, lab: Lab, uids: Mapping[str, str], program: Path = PROGRAM) -> None:
        """Start all pods in the lab; `uids` maps pod names to the uids that the API server assigned."""
        for workload in self.workloads:
            for number, host in enumerate(workload.hosts):
                name = workload.pod(number)
                lab.add_pod(name, uids[name], addresses(host), workload.listen, program)
        lab.add_outside((443,))
        lab.translate(self.translations())

    def first_pods(self) -> dict[str, str]:
        """The first pod of each workload."""
        return {workload.name: workload.pod(0) for workload in self.workloads}

    def uid(self, kind: str, name: str) -> str:
        """The uid of an object of the recorded cluster; a real API server assigns its own."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"podsonar/{self.namespace}/{kind}/{name}"))

    def api_object(
        self,
        kind: str,
        version: str,
        name: str,
        owner: tuple[str, str] | None = None,
        **rest: Any,  # noqa: ANN401
    ) -> Object:
        """An object with the metadata that all objects have; `owner` is (kind, name) of its controller."""
        metadata: Object = {
            "name": name,
            "uid": self.uid(kind, name),
            "creationTimestamp": CREATED,
            "resourceVersion": "1",
        }
        if kind not in {"Namespace", "Node"}:
            metadata["namespace"] = self.namespace
        if owner is not None:
            reference = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": self.uid(*owner)}
            metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
        labels = rest.pop("labels", None)
        if labels:
            metadata["labels"] = labels
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    def pod_object(self, workload: Workload, number: int) -> Object:
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
        return self.api_object(
            "Pod",
            "v1",
            workload.pod(number),
            ("ReplicaSet", replica_set),
            labels={"app": workload.name},
            spec={"nodeName": NODE, "containers": [container]},
            status=status,
        )

    def workload_objects(self, workload: Workload) -> list[Object]:
        """The Deployment, its ReplicaSet and its pods."""
        labels = {"app": workload.name}
        container = {"name": workload.name, "image": f"registry.example/{workload.name}:1.0"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": len(workload.hosts), "selector": {"matchLabels": labels}, "template": template}
        name = f"{workload.name}-{stable_hash(workload.name)[:9]}"
        deployment = self.api_object("Deployment", "apps/v1", workload.name, labels=labels, spec=spec)
        replica_set = self.api_object(
            "ReplicaSet", "apps/v1", name, ("Deployment", workload.name), labels=labels, spec=spec
        )
        return [deployment, replica_set, *(self.pod_object(workload, number) for number in range(len(workload.hosts)))]

    def service_objects(self, service: Service) -> list[Object]:
        """The Service and its EndpointSlice."""
        workload = next(one for one in self.workloads if one.name == service.workload)
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
                    "namespace": self.namespace,
                    "name": workload.pod(number),
                    "uid": self.uid("Pod", workload.pod(number)),
                },
            }
            for number, host in enumerate(workload.hosts)
        ]
        endpoint_slice = self.api_object(
            "EndpointSlice",
            "discovery.k8s.io/v1",
            f"{service.name}-{stable_hash(service.name)[:5]}",
            labels={"kubernetes.io/service-name": service.name},
            addressType=family,
            endpoints=endpoints,
            ports=[{"name": "tcp", "protocol": "TCP", "port": service.port}],
        )
        return [self.api_object("Service", "v1", service.name, spec=spec), endpoint_slice]
