"""What goes wrong on a running cluster, each in a window of its own; the tests look at the maps later.

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
SECRET = f"{install.RELEASE}-tokens"
ROLLED_SECONDS = 90


def kubectl(cluster: RealCluster, *arguments: str) -> str:
    """What kubectl says in the release's namespace."""
    return cluster.kubectl("-n", install.NAMESPACE, *arguments)


def pods(cluster: RealCluster, component: str) -> list[dict[str, Any]]:
    """The pods of a component that are not ending."""
    query = {"labelSelector": f"app.kubernetes.io/component={component}"}
    found = cluster.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def rolled_out(cluster: RealCluster, workload: str) -> None:
    """Return when every pod of `kind/name` is a new one and ready."""
    kubectl(cluster, "rollout", "status", workload, f"--timeout={ROLLED_SECONDS}s")


def kill(cluster: RealCluster, component: str) -> set[str]:
    """The component's pods are deleted without a moment to end in; their UIDs."""
    old = pods(cluster, component)
    kubectl(cluster, "delete", "pod", *(one["metadata"]["name"] for one in old), "--grace-period=0", "--force")
    return {one["metadata"]["uid"] for one in old}


def replaced(cluster: RealCluster, component: str, killed: set[str]) -> None:
    """Return when others are ready in the place of those that were killed."""

    def is_replaced() -> bool:
        new = [one for one in pods(cluster, component) if one["metadata"]["uid"] not in killed]
        return bool(new) and all(is_ready(one) for one in new)

    cluster.wait(f"{component} is ready again", is_replaced, ROLLED_SECONDS)


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod passes its readiness probe."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def metrics(pod: dict[str, Any]) -> dict[str, float]:
    """What a pod's metrics are now, by name with labels."""
    text = httpx.get(f"http://{pod['status']['podIP']}:9464/metrics", trust_env=False).raise_for_status().text
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _space, value in rows}


def said(cluster: RealCluster, component: str) -> str:
    """What the component's pods have logged."""
    labels = f"app.kubernetes.io/component={component}"
    return kubectl(cluster, "logs", "-l", labels, "--tail=-1", "--max-log-requests=9")


@dataclass(frozen=True)
class Rotation:
    """A new token at the manager; nothing but it opens anything from now on."""

    token: str


def revoke(cluster: RealCluster) -> Rotation:
    """The old token is revoked, a new one made: until the Secret holds it, every push is refused."""
    manager = f"deploy/{install.RELEASE}-manager"
    token = kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "create", "--agent", "lab").strip()
    listed = orjson.loads(kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "list", "--json"))
    new = token.split("_")[1]
    (old,) = [one["id"] for one in listed if one["scope"] == "ingest" and one["id"] != new]
    kubectl(cluster, "exec", manager, "--", "podsonar", "manager", "token", "revoke", old)
    return Rotation(token)


def give(cluster: RealCluster, rotation: Rotation) -> None:
    """The Secret holds the new token; the kubelets write it to the pods' files when they get to it."""
    data = {"data": {"token": base64.b64encode(rotation.token.encode()).decode()}}
    kubectl(cluster, "patch", "secret", SECRET, "--type=merge", "-p", orjson.dumps(data).decode())


def without_cron_jobs(cluster: RealCluster) -> dict[str, Any]:
    """The collector's role lacks cron jobs from now on; the role as it was."""
    role = cluster.get(ROLE)
    rules = [{**rule, "resources": [one for one in rule["resources"] if one != "cronjobs"]} for rule in role["rules"]]
    cluster.objects.request("PUT", ROLE, json={**role, "rules": rules})
    return role


def put_back(cluster: RealCluster, path: str, body: dict[str, Any]) -> None:
    """An object has the rules, or is there again, as it was before."""
    body = {**body, "metadata": {key: body["metadata"][key] for key in ("name", "labels", "annotations")}}
    if cluster.client.get(path).status_code == httpx.codes.NOT_FOUND:
        cluster.objects.request("POST", path.rpartition("/")[0], json=body)
    else:
        cluster.objects.request("PUT", path, json=body)
