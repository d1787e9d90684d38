"""Disturbances of a running cluster, each in its own window; the tests look at the maps later.

Every step returns when its disturbance is over, before the next window begins.
"""

import base64
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install

RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
ROLE = f"{RIGHTS}/clusterroles/{install.NAMESPACE}-{install.RELEASE}-collector"
BINDING = f"{RIGHTS}/clusterrolebindings/{install.NAMESPACE}-{install.RELEASE}-collector"
SECRET = f"{install.RELEASE}-ingest-token"
ROLLED_SECONDS = 90


def kubectl(cluster: RealCluster, *arguments: str) -> str:
    """Run kubectl in the release's namespace and return its output."""
    return cluster.kubectl("-n", install.NAMESPACE, *arguments)


def pods(cluster: RealCluster, component: str) -> list[dict[str, Any]]:
    """The pods of a component that are not ending."""
    query = {"labelSelector": f"app.kubernetes.io/component={component}"}
    found = cluster.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]
    return [item for item in found if "deletionTimestamp" not in item["metadata"]]


def wait_rolled_out(cluster: RealCluster, workload: str) -> None:
    """Return once every pod of `kind/name` is replaced and ready."""
    kubectl(cluster, "rollout", "status", workload, f"--timeout={ROLLED_SECONDS}s")


def kill(cluster: RealCluster, component: str) -> set[str]:
    """Delete the component's pods without a grace period; return their UIDs."""
    old = pods(cluster, component)
    kubectl(cluster, "delete", "pod", *(item["metadata"]["name"] for item in old), "--grace-period=0", "--force")
    return {item["metadata"]["uid"] for item in old}


def wait_replaced(cluster: RealCluster, component: str, killed: set[str]) -> None:
    """Return once other pods are ready in place of the killed ones."""

    def is_replaced() -> bool:
        new = [item for item in pods(cluster, component) if item["metadata"]["uid"] not in killed]
        return bool(new) and all(is_ready(item) for item in new)

    cluster.wait(f"{component} is ready again", is_replaced, ROLLED_SECONDS)


def is_ready(pod: dict[str, Any]) -> bool:
    """Return whether a pod passes its readiness probe."""
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def metrics(pod: dict[str, Any]) -> dict[str, float]:
    """The current metrics of a pod, by name with labels."""
    text = (
        httpx.get(f"http://{pod['status']['podIP']}:9464/metrics", timeout=30, trust_env=False).raise_for_status().text
    )
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _space, value in rows}


def log_text(cluster: RealCluster, component: str) -> str:
    """The log of the component's pods."""
    labels = f"app.kubernetes.io/component={component}"
    return kubectl(cluster, "logs", "-l", labels, "--tail=-1", "--max-log-requests=9")


@dataclass(frozen=True)
class Rotation:
    """A new token at the manager, the only valid one from now on."""

    token: str


def rotate_manager_token(cluster: RealCluster) -> Rotation:
    """Revoke the old token and create a new one: until the Secret holds it, every push is refused."""
    manager = f"deploy/{install.RELEASE}-manager"
    token = kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "create", "--agent", "lab").strip()
    listed = orjson.loads(kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "list", "--json"))
    new = token.split("_")[1]
    own = [item for item in listed if (item["scope"], item["name"]) == ("ingest", "lab") and not item["revoked_ns"]]
    (old,) = [item["id"] for item in own if item["id"] != new]
    kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "revoke", old)
    return Rotation(token)


def update_secret(cluster: RealCluster, rotation: Rotation) -> None:
    """Write the new token into the Secret; the kubelets update the pods' files later."""
    data = {"data": {"token": base64.b64encode(rotation.token.encode()).decode()}}
    kubectl(cluster, "patch", "secret", SECRET, "--type=merge", "-p", orjson.dumps(data).decode())


def forbid_cron_jobs(cluster: RealCluster) -> dict[str, Any]:
    """Remove cron jobs from the collector's role; return the role as it was."""
    role = cluster.get(ROLE)
    rules = [
        {**rule, "resources": [name for name in rule["resources"] if name != "cronjobs"]} for rule in role["rules"]
    ]
    cluster.objects.request("PUT", ROLE, json={**role, "rules": rules})
    return role


def restore(cluster: RealCluster, path: str, body: dict[str, Any]) -> None:
    """Restore an object, or its rules, to the given state."""
    body = {**body, "metadata": {key: body["metadata"][key] for key in ("name", "labels", "annotations")}}
    if cluster.client.get(path).status_code == httpx.codes.NOT_FOUND:
        cluster.objects.request("POST", path.rpartition("/")[0], json=body)
    else:
        cluster.objects.request("PUT", path, json=body)
