"""A small cluster as values: three services on two nodes, one window, what both nodes pushed."""

from typing import Any

WINDOW = {"start": "2026-11-24T10:15:00.000000Z", "end": "2026-11-24T10:16:00.000000Z"}
WINDOW_ID = "2026-11-24T10:15:00Z"


def pod(name: str, ip: str, node: str, app: str, owner: str | None = None) -> dict[str, Any]:
    """A pod of namespace shop, owned by a replica set `<owner>-rs`."""
    references = [{"kind": "ReplicaSet", "name": f"{owner}-rs", "uid": f"rs-{owner}", "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "uid": f"uid-{name}",
            "name": name,
            "namespace": "shop",
            "labels": {"app": app},
            "creationTimestamp": "2026-11-24T09:00:00Z",
            "ownerReferences": references if owner else [],
        },
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running"},
    }


def service(name: str, port: int, target: int | str, app: str, cluster_ip: str) -> dict[str, Any]:
    """A Service of namespace shop."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"uid": f"uid-svc-{name}", "name": name, "namespace": "shop"},
        "spec": {
            "selector": {"app": app},
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "ports": [{"port": port, "targetPort": target}],
        },
    }


def owned(kind: str, name: str, uid: str, owner: str | None = None) -> dict[str, Any]:
    """A controller, owned by a Deployment if `owner` is given."""
    references = [{"kind": "Deployment", "name": owner, "uid": f"dep-{owner}", "controller": True}] if owner else []
    return {"kind": kind, "metadata": {"uid": uid, "name": name, "namespace": "shop", "ownerReferences": references}}


def node(name: str, ip: str, cidr: str) -> dict[str, Any]:
    """A node with its pod range."""
    return {
        "kind": "Node",
        "metadata": {"uid": f"uid-{name}", "name": name},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]},
    }


LISTS: dict[str, list[dict[str, Any]]] = {
    "namespaceList": [{"kind": "Namespace", "metadata": {"uid": "uid-ns", "name": "shop"}}],
    "nodeList": [node("node-a", "192.0.2.1", "10.1.1.0/24"), node("node-b", "192.0.2.2", "10.1.2.0/24")],
    "serviceList": [
        service("frontend", 80, "http", "frontend", "10.96.0.10"),
        service("cart", 7000, 8080, "cart", "10.96.0.11"),
        service("db", 5432, 5432, "db", "10.96.0.12"),
    ],
    "podList": [
        pod("frontend-1", "10.1.1.10", "node-a", "frontend", "frontend"),
        pod("cart-1", "10.1.1.20", "node-a", "cart", "cart"),
        pod("cart-2", "10.1.2.20", "node-b", "cart", "cart"),
        pod("db-1", "10.1.2.30", "node-b", "db"),
        pod("load-1", "10.1.2.40", "node-b", "load", "load"),
    ],
    "replicaSetList": [owned("ReplicaSet", f"{n}-rs", f"rs-{n}", n) for n in ("frontend", "cart", "load")],
    "deploymentList": [owned("Deployment", n, f"dep-{n}") for n in ("frontend", "cart", "load")],
}


def inventory(lists: dict[str, Any] | None = None, **head: Any) -> dict[str, Any]:
    """An inventory body of one part with every kind complete, unless `head` has other values."""
    kinds = ("Namespace", "Node", "Service", "Pod", "ReplicaSet", "Deployment")
    complete = {kind: {"complete": True} for kind in kinds}
    wire = {"id": "inv-1", "sequence": 1, "part": 1, "parts": 1, "kinds": complete, **head}
    return {"namespace": "", "window": WINDOW, "inventory": wire, **(LISTS if lists is None else lists)}


def reference(name: str, kind: str = "Pod") -> dict[str, str]:
    """A reference to a pod or Service of the shop."""
    uid = f"uid-svc-{name}" if kind == "Service" else f"uid-{name}"
    return {"kind": kind, "uid": uid, "namespace": "shop", "name": name}


def connection(source: str, source_ip: str, ip: str, port: int, **fields: Any) -> dict[str, Any]:
    """A connection record; `service`, `pod` and `kind` say what its destination is, `n` its established count."""
    count = fields.get("n", 0)
    failed = fields.get("failed", 0)
    service_name, pod_name = fields.get("service"), fields.get("pod")
    kind = "Service" if service_name else "Pod" if pod_name else fields.get("kind", "External")
    return {
        "type": "TCP",
        "sourceIP": source_ip,
        "destinationIP": ip,
        "destinationPort": str(port),
        "destination": {"kind": kind, "reason": fields.get("reason")},
        "kubernetes": {
            "sourcePod": reference(source),
            "destinationService": reference(service_name, "Service") if service_name else None,
            "destinationPod": reference(pod_name) if pod_name else None,
        },
        "attempts": count + failed,
        "established": count,
        "failed": failed,
        "lastErrno": fields.get("errno"),
        "openedBefore": False,
        "firstSeen": WINDOW["start"],
        "lastSeen": WINDOW["end"],
        "handshakeSeconds": {"sum": 0.001, "max": 0.0005},
    }


def taken(name: str, ip: str, port: int, remote: str, count: int) -> dict[str, Any]:
    """An accepted record."""
    return {
        "pod": reference(name),
        "localIP": ip,
        "localPort": port,
        "remoteIP": remote,
        "accepted": count,
        "firstSeen": WINDOW["start"],
        "lastSeen": WINDOW["end"],
    }


def observed(node_name: str, connections: list[Any], accepted: list[Any]) -> dict[str, Any]:
    """A connections body."""
    attempts = sum(int(one["attempts"]) for one in connections)
    counts = {"attempts": attempts, "delivered": attempts, "lost": {}, "filtered": {}, "unresolved": {}}
    return {
        "nodeName": node_name,
        "window": WINDOW,
        "observation": {**counts, "tracer": "bcc:raw_tracepoint", "identity": "cgroup"},
        "connectionList": connections,
        "acceptedList": accepted,
    }


NODE_A = observed(
    "node-a",
    [
        connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=23),
        connection("cart-1", "10.1.1.20", "10.96.0.12", 5432, service="db", n=5),
        connection("cart-1", "10.1.1.20", "203.0.113.9", 443, n=2),
    ],
    [
        taken("frontend-1", "10.1.1.10", 8080, "10.1.2.40", 11),
        taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 13),
        taken("cart-1", "10.1.1.20", 8080, "192.0.2.1", 3),
    ],
)
NODE_B = observed(
    "node-b",
    [
        connection("load-1", "10.1.2.40", "10.96.0.10", 80, service="frontend", n=11),
        connection("load-1", "10.1.2.40", "10.1.2.30", 9999, pod="db-1", failed=7, errno=111),
    ],
    [taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 10), taken("db-1", "10.1.2.30", 5432, "10.1.1.20", 5)],
)
