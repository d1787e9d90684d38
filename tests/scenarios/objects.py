"""Kubernetes objects of a scenario, as the API server would list them."""

from typing import Any

from lab.simulated.two_nodes import NODES, SimulatedNode
from tests.scenarios.table import ScenarioPod, ScenarioService

CREATED = "2026-01-05T08:00:00Z"
Object = dict[str, Any]


def node(one: SimulatedNode) -> Object:
    """The Node."""
    return {
        "kind": "Node",
        "metadata": {"name": one.name, "uid": f"uid-{one.name}", "creationTimestamp": CREATED},
        "spec": {"podCIDR": one.ranges[0], "podCIDRs": list(one.ranges)},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in one.addresses]},
    }


def pod(
    one: ScenarioPod, namespace: str, uid: str, addresses: tuple[str, ...], begun: str, config_hash: str | None
) -> Object:
    """The running pod."""
    metadata: Object = {
        "name": one.name,
        "namespace": namespace,
        "uid": uid,
        "creationTimestamp": begun,
        "labels": {"app": one.app or one.name},
    }
    if one.owner:
        owner = {"kind": one.owner, "name": f"{one.name}-owner", "uid": f"{uid}-owner", "controller": True}
        metadata["ownerReferences"] = [owner]
    if config_hash:
        metadata["annotations"] = dict.fromkeys(
            ("kubernetes.io/config.hash", "kubernetes.io/config.mirror"), config_hash
        )
    main: Object = {"name": "main"}
    if one.host_port:
        main["ports"] = [{"protocol": "TCP", "hostPort": one.host_port[0], "containerPort": one.host_port[1]}]
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": NODES[one.node].name, "hostNetwork": one.host_network, "containers": [main]},
        "status": {
            "phase": "Running",
            "startTime": begun,
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
            "hostIP": NODES[one.node].addresses[0],
        },
    }


def service(one: ScenarioService, namespace: str, uid: str, addresses: list[str]) -> Object:
    """The Service."""
    port: Object = {"protocol": "TCP", "port": one.port, "targetPort": one.target}
    if one.node_port:
        port["nodePort"] = one.node_port
    ips = addresses or ["None"]
    return {
        "kind": "Service",
        "metadata": {"name": one.name, "namespace": namespace, "uid": uid, "creationTimestamp": CREATED},
        "spec": {
            "type": "NodePort" if one.node_port else "ClusterIP",
            "clusterIP": ips[0],
            "clusterIPs": ips,
            "selector": {"app": one.app},
            "ports": [port],
        },
    }
