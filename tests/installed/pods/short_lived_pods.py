"""Pods that come and go while they connect; the counts that they keep themselves outlive them on the node."""

from typing import Any

import orjson

from lab.real_cluster.addressing import ClusterNode
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop

COUNTS = "podsonar-test-counts"
CROWD, TARGET, PORT, EACH = "crowd", "catalog", 8080, 7
Object = dict[str, Any]


def counting_pod_spec(arguments: list[str]) -> Object:
    """The spec of a pod whose client leaves its counts on the node, and has time to finish its current connect."""
    client = shop.container("client", arguments)
    client["env"] = [{"name": "COUNTS", "value": "/counts"}]
    client["volumeMounts"] = [{"name": "counts", "mountPath": "/counts"}]
    return {
        "containers": [client],
        "volumes": [{"name": "counts", "hostPath": {"path": f"/var/lib/{COUNTS}", "type": "Directory"}}],
        "terminationGracePeriodSeconds": 10,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


def prepare(cluster: RealCluster) -> None:
    """Create the folder on each node, empty and writable for any user's pod."""
    for node in cluster.layout.nodes:
        folder = node.folder / "lib" / COUNTS
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)
        for old in folder.iterdir():
            old.unlink()


def crowd(pods: int) -> Object:
    """A deployment of that many pods, each of which calls the shop's catalog from its start on."""
    labels = {"app": CROWD}
    template = {
        "metadata": {"labels": labels},
        "spec": counting_pod_spec(["join", "60s", f"{TARGET}.{shop.NAMESPACE}.svc:{PORT}", str(EACH)]),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": CROWD, "namespace": shop.NAMESPACE},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template},
    }


def bare_pod(name: str, node: ClusterNode, spec: Object) -> Object:
    """A pod without a controller, on that node."""
    metadata = {"name": name, "namespace": shop.NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "nodeName": node.name}}


def running_pods(cluster: RealCluster, app: str) -> int:
    """The number of pods of that name that run and are not ending."""
    query = {"labelSelector": f"app={app}"}
    pods = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods", **query)["items"]
    return sum(
        item["status"].get("phase") == "Running" and "deletionTimestamp" not in item["metadata"] for item in pods
    )


def is_gone(cluster: RealCluster, app: str) -> bool:
    """Return whether no pod of that name is left, not even one that is ending."""
    query = {"labelSelector": f"app={app}"}
    return not cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods", **query)["items"]


def counted_edge(cluster: RealCluster, window: str, name: str) -> shop.ShopEdge:
    """The counts of all pods whose name starts with `name` in a window, as one edge to `TARGET`."""
    attempts = established = failed = 0
    for node in cluster.layout.nodes:
        for file in (node.folder / "lib" / COUNTS).glob(f"{name}*"):
            for line in map(orjson.loads, file.read_text().splitlines()):
                if line["window"] == window:
                    attempts += line["attempts"]
                    established += line["established"]
                    failed += line["failed"]
    return shop.ShopEdge(name, TARGET, PORT, attempts, established, failed)
