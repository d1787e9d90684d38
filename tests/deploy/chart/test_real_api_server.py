"""The chart against a real API server: objects are accepted, admission decides as expected, an upgrade keeps tokens."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab.controlplane import binaries
from lab.controlplane.server import ControlPlane
from tests.deploy.conftest import Chart, Object, only, pod

pytestmark = pytest.mark.cluster

PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "Ingress": "ingresses",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding")


def namespace(name: str, enforce: str) -> Object:
    """A namespace that enforces a Pod Security level."""
    labels = {"pod-security.kubernetes.io/enforce": enforce}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="module", params=binaries.VERSIONS)
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The oldest and the newest API server, with a namespace of each Pod Security level."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane"), version=request.param) as running:
        running.apply([namespace("strict", "restricted"), namespace("observe", "privileged")])
        running.apply([namespace(name, "baseline") for name in ("shop", "bank", "podsonar", "hce")])
        yield running


def dry_run(plane: ControlPlane, body: Object, default: str) -> httpx.Response:
    """The server's answer to creating an object, which it validates in full and does not store."""
    version = body["apiVersion"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    place = "" if body["kind"] in CLUSTER_WIDE else f"/namespaces/{body['metadata'].get('namespace', default)}"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    return plane.client.post(f"{prefix}{place}/{PLURALS[body['kind']]}", params=query, json=body)


def test_every_rendered_object_is_valid_to_the_last_field(plane: ControlPlane, chart: Chart) -> None:
    """A server-side dry run with strict field validation accepts all of them, from every tested set of values."""
    served = [word for api in ("policy/v1", "networking.k8s.io/v1") for word in ("--api-versions", api)]
    seen = 0
    for values in [chart.folder / "values.yaml", *chart.values()]:
        for body in chart.template("-f", str(values), *served):
            answer = dry_run(plane, body, "observe")
            assert answer.status_code == 201, f"{values.name} {body['kind']}: {answer.text}"
            assert "warning" not in answer.headers, f"{values.name} {body['kind']}: {answer.headers['warning']}"
            seen += 1
    assert seen > 80


def test_manifests_for_kubectl_are_valid(plane: ControlPlane, repository: Path) -> None:
    """Each object of deploy/manifests/podsonar.yaml, and the script's Secret, is accepted."""
    plane.apply([namespace("podsonar", "privileged")])
    documents = list(yaml.safe_load_all((repository / "deploy/manifests/podsonar.yaml").read_text()))
    script = subprocess.run([repository / "deploy/manifests/tokens.sh"], capture_output=True, check=True)
    for body in [*documents[1:], *(one for one in yaml.safe_load_all(script.stdout) if one)]:
        answer = dry_run(plane, body, "podsonar")
        assert answer.status_code == 201, answer.text


def admitted(plane: ControlPlane, workload: Object, into: str) -> httpx.Response:
    """The answer of admission to a pod of a workload in a namespace."""
    metadata = {"name": "pod", "namespace": into, "labels": workload["spec"]["template"]["metadata"]["labels"]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod(workload)}
    return dry_run(plane, body, into)


@pytest.mark.parametrize("ending", ["-collector", "-manager"])
def test_restricted_namespace_admits_collector_and_manager(
    plane: ControlPlane, objects: list[Object], ending: str
) -> None:
    """Their pods pass the strictest Pod Security level, in a real admission."""
    answer = admitted(plane, only(objects, "Deployment", ending), "strict")
    assert answer.status_code == 201, answer.text


def test_restricted_namespace_admits_the_test_pod(plane: ControlPlane, objects: list[Object]) -> None:
    """`helm test` works where collector and manager do."""
    body = only(objects, "Pod")
    answer = dry_run(plane, {**body, "metadata": {**body["metadata"], "namespace": "strict"}}, "strict")
    assert answer.status_code == 201, answer.text


def test_node_agent_is_refused_by_restricted_and_admitted_by_privileged(
    plane: ControlPlane, objects: list[Object]
) -> None:
    """The refusal names the pid namespace and added capabilities; the notes name the label that cures it (row 19)."""
    agent = only(objects, "DaemonSet")
    refused = admitted(plane, agent, "strict")
    assert refused.status_code == 403
    for reason in ("host namespaces (hostPID=true)", "BPF", "PERFMON", "runAsUser=0"):
        assert reason in refused.json()["message"]
    for never in ("privileged must not", "hostPath", "hostNetwork", "allowPrivilegeEscalation", "readOnly"):
        assert never not in refused.json()["message"]
    assert admitted(plane, agent, "observe").status_code == 201


def helm(chart: Chart, plane: ControlPlane, *arguments: str) -> str:
    """Run a helm command against this server and return its output."""
    command = [str(chart.helm), *arguments, "--kubeconfig", str(plane.admin_kubeconfig)]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout


def secret(plane: ControlPlane, name: str) -> dict[str, Any]:
    """The data of a Secret in `observe`."""
    answer = plane.client.get(f"/api/v1/namespaces/observe/secrets/{name}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def tokens(plane: ControlPlane) -> dict[str, Any]:
    """What the three Secrets of the release hold together."""
    parts = ("ingest-token", "read-key", "token-hashes")
    return {key: value for part in parts for key, value in secret(plane, f"podsonar-{part}").items()}


def left(plane: ControlPlane) -> list[str]:
    """Objects of the release that are not being deleted: the last step is a controller's, and none runs here."""
    found = []
    for group, plurals in {
        "/apis/apps/v1": ("deployments", "daemonsets"),
        "/api/v1": ("configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims"),
        "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings", "roles", "rolebindings"),
    }.items():
        for plural in plurals:
            query = {"labelSelector": "app.kubernetes.io/part-of=podsonar"}
            items = plane.client.get(f"{group}/{plural}", params=query).json()["items"]
            found += [one["metadata"]["name"] for one in items if "deletionTimestamp" not in one["metadata"]]
    return found


def test_tokens_of_a_release_with_one_secret_are_kept(plane: ControlPlane, chart: Chart) -> None:
    """Releases up to 0.1.0 had all three in one Secret: an upgrade finds them there and writes the same into three."""
    held = {"token": "cG9kc29uYXI=", "read-key": "a2V5", "tokens.json": "e30="}
    metadata = {"name": "podsonar-tokens", "namespace": "observe"}
    plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": held}])
    helm(chart, plane, "install", "podsonar", str(chart.folder), "--namespace", "observe")
    assert tokens(plane) == held
    helm(chart, plane, "uninstall", "podsonar", "--namespace", "observe")
    plane.client.delete("/api/v1/namespaces/observe/secrets/podsonar-tokens")


def test_upgrade_keeps_the_tokens_and_uninstall_leaves_nothing(plane: ControlPlane, chart: Chart) -> None:
    """Install, upgrade with changed values, uninstall: tokens stay, selectors are accepted, nothing is left."""
    release = ("podsonar", str(chart.folder), "--namespace", "observe")
    assert "NOTES" in helm(chart, plane, "install", *release)
    before = tokens(plane)
    assert set(before) == {"token", "read-key", "tokens.json"}
    changed = "log.level=debug,kubernetes.labels.team=a,nodeAgent.spool.kind=hostPath,image.tag=v9"
    helm(chart, plane, "upgrade", *release, "--set", changed)
    assert tokens(plane) == before
    stored = plane.client.get("/apis/apps/v1/namespaces/observe/daemonsets/podsonar-node-agent").json()
    assert pod(stored)["containers"][0]["image"] == "localhost/podsonar-node-agent:v9"
    assert len(left(plane)) >= 12
    helm(chart, plane, "uninstall", "podsonar", "--namespace", "observe")
    assert left(plane) == []
