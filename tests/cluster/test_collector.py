"""The collector against a real API server, with its own ClusterRole and a token of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml
from isal import igzip

from cluster_api.client import ApiClient
from collector.app import inventory_of, window_now
from delivery.batch import batch_of_payload
from delivery.spool import Spool
from directory.selection import Selection
from lab.controlplane.server import ControlPlane
from podsonar.json_gzip import unpack
from podsonar.settings import CollectorSettings, Data, Kubernetes
from tests.acceptance.agent_process import payload_of
from tests.cluster.rights import wait_until_listed

CANARY = "canary-3f9a"
PODS = 1253
SETTINGS = CollectorSettings(data=Data(enable_orphaned_pod=True, enable_batch_resources=True))
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def pod(name: str, address: str | None = None) -> dict[str, Any]:
    """A pod with a secret in its environment, and in the copy that kubectl keeps of it."""
    container = {"name": "app", "image": "app", "env": [{"name": "PASSWORD", "value": CANARY}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {LAST_APPLIED: orjson.dumps({"spec": {"containers": [container]}}).decode()},
        },
        "spec": {"nodeName": "node-a", "containers": [container]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]} if address else {},
    }


def may(name: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A service account with a ClusterRole of these rules."""
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        },
    ]


@pytest.fixture(scope="module")
def rules(repository: Path) -> list[dict[str, Any]]:
    """The rules of the ClusterRole that is deployed."""
    documents = yaml.safe_load_all((repository / "deploy/rbac/collector.yaml").read_text())
    found: list[dict[str, Any]] = next(one["rules"] for one in documents if one["kind"] == "ClusterRole")
    return found


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, rules: list[dict[str, Any]]) -> Iterator[ControlPlane]:
    """One control plane for this file, with 1,253 pods and the collector's own rights."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as running:
        running.apply([*may("collector", rules), *(pod(f"p{number}") for number in range(PODS))])
        yield running


@pytest.fixture
def api(plane: ControlPlane) -> ApiClient:
    """The API server as the collector sees it."""
    return wait_until_listed(ApiClient.connect(plane.kubeconfig_for("default", "collector")), "/api/v1/pods")


@pytest.mark.cluster
def test_collector_with_its_own_rights_lists_everything_and_no_secret(api: ApiClient, tmp_path: Path) -> None:
    """1,253 pods arrive as 1,253 with every kind allowed; their secret is in no body and on no disk."""
    window = window_now(SETTINGS)
    inventory = inventory_of(api, SETTINGS, window, Selection.of(SETTINGS))
    payloads = list(inventory.bodies(tmp_path))
    parts = [unpack(payload) for payload in payloads]
    kinds = parts[-1]["inventory"]["kinds"]
    assert sum(len(part["podList"]) for part in parts) == PODS
    assert [name for name, kind in kinds.items() if not kind["complete"]] == []
    assert CANARY.encode() not in orjson.dumps(parts)
    redacted = parts[-1]["inventory"]["redacted"]
    assert {rule: redacted[rule] for rule in ("env", "last_applied")} == {"env": PODS, "last_applied": PODS}
    assert redacted["managed_fields"] > PODS
    spool = Spool(tmp_path)
    for number, payload in enumerate(payloads):
        spool.put(batch_of_payload(payload, "inventory", window, f"part-{number}"))
    files = spool.paths()
    spool.close()
    written = [igzip.decompress(payload_of(path)) for path in files]  # type: ignore[no-untyped-call]
    assert len(written) == len(parts)
    assert sum(content.count(b"[redacted:env]") for content in written) == PODS
    assert not [path for path in tmp_path.iterdir() if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert not [content for content in written if CANARY.encode() in content]


@pytest.mark.cluster
def test_servers_cache_gives_the_same_inventory(api: ApiClient, tmp_path: Path) -> None:
    """`kubernetes.useApiserverCache`: a real server takes the question, and every object arrives once."""
    settings = msgspec.structs.replace(SETTINGS, kubernetes=Kubernetes(use_apiserver_cache=True))
    counts = []
    for one in (SETTINGS, settings):
        inventory = inventory_of(api, one, window_now(one), Selection.of(one))
        parts = [unpack(payload) for payload in inventory.bodies(tmp_path)]
        assert [name for name, kind in inventory.kinds.items() if not kind["complete"]] == []
        counts.append({name: kind["count"] for name, kind in inventory.kinds.items()})
        assert len({pod["metadata"]["uid"] for part in parts for pod in part["podList"]}) == PODS
    assert counts[0] == counts[1]


@pytest.mark.cluster
def test_kind_without_rights_is_forbidden_and_all_others_are_delivered(
    plane: ControlPlane, rules: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A role that lacks one kind costs that kind alone, and the inventory names it."""
    fewer = [{**rule, "resources": [one for one in rule["resources"] if one != "cronjobs"]} for rule in rules]
    job_spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "app"}]}}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "import", "namespace": "default"},
        "spec": job_spec,
    }
    plane.apply([*may("no-cronjobs", fewer), job])
    api = wait_until_listed(ApiClient.connect(plane.kubeconfig_for("default", "no-cronjobs")), "/api/v1/pods")
    inventory = inventory_of(api, SETTINGS, window_now(SETTINGS), Selection.of(SETTINGS))
    parts = [unpack(payload) for payload in inventory.bodies(tmp_path)]
    kinds = parts[0]["inventory"]["kinds"]
    assert kinds.pop("CronJob") == {"complete": False, "count": 0, "reason": "forbidden"}
    assert [name for name, kind in kinds.items() if not kind["complete"]] == []
    assert [one["metadata"]["name"] for part in parts for one in part["jobList"]] == ["import"]
    assert sum(len(part["podList"]) for part in parts) == PODS
