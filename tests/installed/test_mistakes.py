"""Operator mistakes on the running cluster: the pods report why they cannot work, and work once it is corrected."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install
from tests.installed.disturbances import SECRET, is_ready

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]

NAMESPACE, RELEASE, TOKEN_SECRET = "mistaken", "second", "agents-token"
AGENT = f"{RELEASE}-podsonar-node-agent"
COLLECTOR = f"{RELEASE}-podsonar-collector"
# A webhook may set this in every pod: a proxy that does not run.
PROXIED = [
    {"name": name, "value": "http://127.0.0.1:1"} for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
]
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
Object = dict[str, Any]


def values() -> Object:
    """Values of a second release that pushes nothing: its windows are far away, and its DaemonSet differs from the
    first.
    """
    return {
        "data": {"cron": {"expression": "0 0 1 1 *"}},
        "kubernetes": {"imagePullPolicy": "Never"},
        "manager": {
            "install": False,
            "url": f"http://{install.RELEASE}-manager.{install.NAMESPACE}.svc:8080",
            "tokenSecret": {"name": TOKEN_SECRET},
        },
    }


def enforce(cluster: RealCluster, level: str) -> None:
    """The namespace enforces that Pod Security level."""
    labels = {"pod-security.kubernetes.io/enforce": level}
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}])


def events(cluster: RealCluster, reason: str) -> list[str]:
    """The messages of the namespace's events with that reason."""
    query = {"fieldSelector": f"reason={reason}"}
    return [item["message"] for item in cluster.get(f"/api/v1/namespaces/{NAMESPACE}/events", **query)["items"]]


def agents(cluster: RealCluster) -> list[Object]:
    """The pods of the second release's DaemonSet."""
    query = {"labelSelector": f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=node-agent"}
    found: list[Object] = cluster.get(PODS, **query)["items"]
    return found


@pytest.fixture(scope="module")
def refused(installed: RealCluster) -> Iterator[list[str]]:
    """The events of a release in a namespace that enforces `restricted`, before the label is corrected."""
    enforce(installed, "restricted")
    file = installed.layout.folder / "second.json"
    file.write_bytes(orjson.dumps(values()))
    install.helm(installed, "install", RELEASE, str(install.CHART), "--namespace", NAMESPACE, "-f", str(file))
    installed.wait("admission has refused a pod", lambda: bool(events(installed, "FailedCreate")), 30)
    said = events(installed, "FailedCreate")
    assert agents(installed) == []
    enforce(installed, "privileged")
    yield said
    install.helm(installed, "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def state(found: Object) -> Object:
    """The status of the pod's container; empty before there is one."""
    every = found["status"].get("containerStatuses") or [{}]
    status: Object = every[0]
    return status


@pytest.fixture(scope="module")
def waiting(installed: RealCluster, refused: list[str]) -> list[str]:
    """The events while the Secret with the token was missing; it is there afterwards."""

    def is_reported() -> bool:
        states = [state(pod).get("state", {}).get("waiting", {}).get("reason") for pod in agents(installed)]
        return states == ["ContainerCreating"] * installed.layout.size and bool(events(installed, "FailedMount"))

    installed.wait("pods wait for their Secret", is_reported, 60)
    said = events(installed, "FailedMount")
    first = installed.get(f"/api/v1/namespaces/{install.NAMESPACE}/secrets/{SECRET}")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN_SECRET, "namespace": NAMESPACE}}
    installed.apply([{**secret, "data": {"token": first["data"]["token"]}}])
    return said


def changed_pod(cluster: RealCluster, name: str, workload: str = f"daemonsets/{AGENT}", **container: Any) -> Object:
    """A bare pod like those of a workload of the second release, with other fields of its container."""
    template = cluster.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/{workload}")["spec"]["template"]
    spec = {**template["spec"], "nodeName": cluster.layout.nodes[0].name}
    (own,) = spec["containers"]
    spec["containers"] = [{**own, **container}]
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"mistake": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def with_capabilities(*names: str) -> Object:
    """The container's security context, with those capabilities alone."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": [*names, "SETGID", "SETUID"]},
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "runAsGroup": 0,
    }


@pytest.fixture(scope="module")
def mistaken(installed: RealCluster, waiting: list[str]) -> RealCluster:
    """The cluster with an agent's pod for each mistake."""
    slow = {"limits": {"cpu": "50m", "memory": "512Mi"}, "requests": {"cpu": "50m", "memory": "128Mi"}}
    installed.apply(
        [
            changed_pod(installed, "slow", resources=slow),
            changed_pod(installed, "no-perfmon", securityContext=with_capabilities("BPF")),
            changed_pod(installed, "no-bpf", securityContext=with_capabilities("PERFMON")),
            changed_pod(installed, "no-node-name", env=[]),
            changed_pod(installed, "proxied", f"deployments/{COLLECTOR}", env=PROXIED),
        ]
    )
    return installed


def pod(cluster: RealCluster, name: str) -> Object:
    """The pod as it is now."""
    return cluster.get(f"{PODS}/{name}")


def said(cluster: RealCluster, name: str) -> str:
    """The log of a pod."""
    return cluster.kubectl("-n", NAMESPACE, "logs", name)


@pytest.mark.timeout(420)
def test_restricted_namespace_refuses_the_agents_and_a_label_cures_it(refused: list[str], waiting: list[str]) -> None:
    """The DaemonSet has no pod, its event names the violation; with the label of the notes pods come (row 19)."""
    assert all('violates PodSecurity "restricted' in text for text in refused)
    assert any("host namespaces" in text for text in refused)
    assert waiting


def test_pods_wait_for_a_missing_secret_and_start_once_it_is_there(installed: RealCluster, waiting: list[str]) -> None:
    """Pods stay in ContainerCreating, the event names the Secret; once it is made they get ready (row 6)."""
    assert any(f'secret "{TOKEN_SECRET}" not found' in text for text in waiting), waiting
    installed.wait("the agents are ready", lambda: all(map(is_ready, agents(installed))), 180)
    assert [state(item)["restartCount"] for item in agents(installed)] == [0, 0]


@pytest.mark.parametrize(("name", "missing"), [("no-perfmon", "CAP_PERFMON"), ("no-bpf", "CAP_BPF")])
def test_agent_without_a_capability_is_degraded_and_does_not_restart(
    mistaken: RealCluster, name: str, missing: str
) -> None:
    """It stays, is not ready, and names the capability and not a compiler's error (rows 20 and 21)."""

    def is_reported() -> bool:
        return "running" in (state(pod(mistaken, name)).get("state") or {}) and "tracer_unavailable" in said(
            mistaken, name
        )

    mistaken.wait(f"{name} has logged why", is_reported, 90)
    every = [orjson.loads(item) for item in said(mistaken, name).splitlines() if item.startswith("{")]
    line = next(item for item in every if item["event"] == "tracer_unavailable")
    assert line["reason"] == "capability_missing"
    assert missing in line["error"]
    found = pod(mistaken, name)
    assert (state(found)["restartCount"], is_ready(found)) == (0, False)
    assert "running" in state(found)["state"]


def test_agent_without_a_node_name_ends_with_the_field_to_set(mistaken: RealCluster) -> None:
    """Exit code 2, and the sentence names the downward API's field (row 40)."""

    def ended() -> bool:
        status = state(pod(mistaken, "no-node-name"))
        return bool((status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated"))

    mistaken.wait("it has ended", ended, 90)
    status = state(pod(mistaken, "no-node-name"))
    last = (status["state"].get("terminated") or status["lastState"]["terminated"])["exitCode"]
    assert last == 2
    # It is started again and again, and each time its log is empty at first.
    mistaken.wait("its log names the field", lambda: "spec.nodeName" in said(mistaken, "no-node-name"), 90)


@pytest.mark.timeout(420)
def test_agent_with_a_twentieth_of_a_core_starts_within_its_probe(mistaken: RealCluster) -> None:
    """The compiler is throttled; the pod gets ready without a restart (row 35)."""
    mistaken.wait("the slow agent is ready", lambda: is_ready(pod(mistaken, "slow")), 300)
    assert state(pod(mistaken, "slow"))["restartCount"] == 0


def test_collector_lists_past_a_proxy_of_the_environment(mistaken: RealCluster) -> None:
    """It gets ready, so the directory has listed every kind, although HTTPS_PROXY leads nowhere (row 42)."""
    mistaken.wait("the collector is ready", lambda: is_ready(pod(mistaken, "proxied")), 60)
    assert state(pod(mistaken, "proxied"))["restartCount"] == 0
