"""Agents that observe on order, and an application that connects all the time: `front` calls `near` and `far`.

They push to the shared release's manager, as an agent of a tenant; of their own accord they observe once an hour.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from tests.installed import disturbances, experiments

NAMESPACE = RELEASE = INFRA = "ordered"
TOKEN_SECRET, PORT = "agents-token", 8080
NEAR, FAR = f"{NAMESPACE}/front -> {NAMESPACE}/near:{PORT}", f"{NAMESPACE}/front -> {NAMESPACE}/far:{PORT}"
DIRECTORY = f"http://{RELEASE}-podsonar-collector.{NAMESPACE}.svc:8766"
DELEGATE = "brings"  # brings runners
NOBODY = 9  # a port on which nothing listens
SCHEDULED_SECONDS, AHEAD_SECONDS = 15, 120  # the hourly window, and the time to install until it begins
Object = dict[str, Any]


def values(start: datetime) -> Object:
    """Values of agents that wait for orders; their window of the schedule begins at that second of each hour."""
    return {
        "data": {
            "collectionWindowInMin": SCHEDULED_SECONDS / 60,
            "cron": {"expression": f"{start.second} {start.minute} * * * *"},
            "enableOrphanedPod": True,
        },
        "kubernetes": {"imagePullPolicy": "Never"},
        "manager": {"install": False, "url": experiments.MANAGER, "tokenSecret": {"name": TOKEN_SECRET}},
        "nodeAgent": {"orders": True},
        "networkPolicy": {"ordersFrom": [{"podSelector": {}}]},  # runners are in the release's namespace
    }


def put_token(cluster: RealCluster, folder: Path) -> Path:
    """Make a token of the tenant's agent, and put it into the Secret; return its file."""
    command = ["podsonar", "manager", "token", "create", "--agent", INFRA, *experiments.TENANT]
    text = disturbances.kubectl(cluster, "exec", f"deployment/{install.RELEASE}-manager", "--", *command).split()[-1]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN_SECRET, "namespace": NAMESPACE}}
    cluster.apply([{**secret, "stringData": {"token": text}}])
    file = folder / "token"
    file.write_text(text)
    return file


def service(name: str, target_port: int) -> Object:
    """A Service in front of the pods of that name."""
    ports = [{"name": "tcp", "port": PORT, "targetPort": target_port}]
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def deployment(name: str, pods: int, containers: list[Object]) -> Object:
    """A workload, of which each node has a pod if there are two."""
    labels = {"app": name}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    spec = {
        "containers": containers,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": labels}}],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template},
    }


def application() -> list[Object]:
    """Its objects; `far` is broken at first. One that waits for an answer in vain holds up no call of the other."""
    near = ["call", "5s", *[f"near.{NAMESPACE}.svc:{PORT}", "5"] * 3]
    far = ["call", "5s", f"far.{NAMESPACE}.svc:{PORT}", "11"]
    serves = [shop.container("server", ["serve", str(PORT)])]
    return [
        service("near", PORT),
        service("far", NOBODY),
        deployment("near", 1, serves),
        deployment("far", 1, serves),
        deployment("front", 2, [shop.container("calls-near", near), shop.container("calls-far", far)]),
    ]


def start(cluster: RealCluster, folder: Path) -> Path:
    """Install all of it, and wait until both agents wait for orders; return the file of the agents' token."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.apply([namespace])
    cluster.apply(application())
    token = put_token(cluster, folder)
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=AHEAD_SECONDS)
    file = folder / "values.json"
    file.write_bytes(orjson.dumps(values(begin)))
    words = ("--namespace", NAMESPACE, "-f", str(file), "--wait", f"--timeout={AHEAD_SECONDS - 5}s")
    install.helm(cluster, "install", RELEASE, str(install.CHART), *words)
    cluster.wait("both agents wait for orders", lambda: listening(cluster) == cluster.layout.size, 30)
    assert time.time() < begin.timestamp(), (
        "the window of the schedule has begun: expected the agents to be there before"
    )
    time.sleep(max(0.0, begin.timestamp() - time.time()))
    return token


def listening(cluster: RealCluster) -> float:
    """How many agents wait for orders at the collector."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    (collector,) = cluster.get(path, labelSelector="app.kubernetes.io/component=collector")["items"]
    return disturbances.metrics(collector)["podsonar_directory_parked_requests"]


def lead_far_to(cluster: RealCluster, port: int) -> None:
    """Let the Service lead to another port of its pods."""
    cluster.apply([service("far", port)])


def start_delegate(cluster: RealCluster, folder: Path, token: str) -> None:
    """Install a delegate beside the agents that lets runners refer to their Secret; it may not have asked yet."""
    values: Object = {
        "collector": {"enabled": False},
        "kubernetes": {"imagePullPolicy": "Never"},
        "manager": {"install": False, "url": experiments.MANAGER},
        "delegate": {
            "enabled": True,
            "name": DELEGATE,
            "rbac": "managed",
            "runners": True,
            "token": token,
            "directory": {"url": DIRECTORY, "secret": TOKEN_SECRET},
        },
    }
    file = folder / "delegate.json"
    file.write_bytes(orjson.dumps(values))
    install.helm(cluster, "install", DELEGATE, str(install.CHART), "--namespace", NAMESPACE, "-f", str(file))


def end(cluster: RealCluster) -> None:
    """Take everything away."""
    install.helm(cluster, "uninstall", DELEGATE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    install.helm(cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
