"""Pods that come and go while they connect, and what they themselves counted: their counts outlive them on the node."""

from typing import Any

import orjson

from lab.real_cluster.addressing import ClusterNode
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop

COUNTS = "podsonar-test-counts"
CROWD, TARGET, PORT, EACH = "crowd", "catalog", 8080, 7
Object = dict[str, Any]


def counting(arguments: list[str]) -> Object:
    """The spec of a pod whose client leaves its counts on the node, and has time to end the connect that it is at."""
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
    """Each node has the folder, empty, and any user's pod may write there."""
    for node in cluster.layout.nodes:
        folder = node.folder / "lib" / COUNTS
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)
        for old in folder.iterdir():
            old.unlink()


def crowd(pods: int) -> Object:
    """A deployment of that many pods, each of which calls the shop's catalog from the moment of its start."""
    labels = {"app": CROWD}
    template = {
        "metadata": {"labels": labels},
        "spec": counting(["join", "60s", f"{TARGET}.{shop.NAMESPACE}.svc:{PORT}", str(EACH)]),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": CROWD, "namespace": shop.NAMESPACE},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template},
    }


def lone(name: str, node: ClusterNode, spec: Object) -> Object:
    """A pod without a controller, on that node."""
    metadata = {"name": name, "namespace": shop.NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "nodeName": node.name}}


def running(cluster: RealCluster, app: str) -> int:
    """How many pods of that name run and are not ending."""
    query = {"labelSelector": f"app={app}"}
    pods = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods", **query)["items"]
    return sum(one["status"].get("phase") == "Running" and "deletionTimestamp" not in one["metadata"] for one in pods)


def gone(cluster: RealCluster, app: str) -> bool:
    """Whether no pod of that name is left, not even one that ends."""
    query = {"labelSelector": f"app={app}"}
    return not cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods", **query)["items"]


def counted(cluster: RealCluster, window: str, name: str) -> shop.ShopEdge:
    """What all pods whose name begins so counted in a window, as one edge to `TARGET`."""
    attempts = established = failed = 0
    for node in cluster.layout.nodes:
        for file in (node.folder / "lib" / COUNTS).glob(f"{name}*"):
            for line in map(orjson.loads, file.read_text().splitlines()):
                if line["window"] == window:
                    attempts += line["attempts"]
                    established += line["established"]
                    failed += line["failed"]
    return shop.ShopEdge(name, TARGET, PORT, attempts, established, failed)
