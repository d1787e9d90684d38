"""A real API server with a workload whose pods come again, a manager, and runners as processes."""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaos.control.mount import mount_chaos
from lab.controlplane.ports import free_ports
from lab.controlplane.server import ControlPlane
from manager.server import serving
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.errors import ApiServerError
from tests.chaos.runner.kubelet import Kubelet
from tests.manager.conftest import CLIENT

REPOSITORY = Path(__file__).resolve().parents[3]
TENANT = {
    "accountIdentifier": "acc",
    "organizationIdentifier": "org",
    "projectIdentifier": "pro",
    "environmentIdentifier": "env",
}
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "runner", "run"]
INFRA = "infra-1"


class Workload:
    """A Deployment with pods; what is deleted comes again under another name, as its controllers would do."""

    has_kubelet = False  # something else shows the status of the pods

    def __init__(self, plane: ControlPlane, namespace: str, name: str, pods: int) -> None:
        self.plane, self.namespace, self.name, self.pods = plane, namespace, name, pods
        self.over, self.held = threading.Event(), threading.Event()
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
        spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}
        (deployment,) = plane.apply([self.body("apps/v1", "Deployment", name, spec, None)])
        (self.replica_set,) = plane.apply([self.body("apps/v1", "ReplicaSet", f"{name}-rs", spec, deployment)])
        self.thread = threading.Thread(target=self.reconcile, daemon=True)
        self.thread.start()

    def body(self, version: str, kind: str, name: str, spec: Any, owner: dict[str, Any] | None) -> dict[str, Any]:
        """An object with its controller."""
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace, "labels": {"app": self.name}}
        if owner:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
            metadata["ownerReferences"] = [reference | {key: owner["metadata"][key] for key in ("name", "uid")}]
        return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

    def list_pods(self) -> list[dict[str, Any]]:
        """The pods that are not being deleted."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{self.name}"
        items = self.plane.objects.request("GET", path)["items"]
        return [one for one in items if not one["metadata"].get("deletionTimestamp")]

    def reconcile(self) -> None:
        """Create what is missing, until the test is over."""
        while not self.over.wait(0.1):
            if self.held.is_set():
                continue
            with suppress(ApiServerError):  # a pod was deleted before it had its status
                for _ in range(self.pods - len(self.list_pods())):
                    self.create(f"{self.name}-{secrets.token_hex(3)}")

    def create(self, name: str) -> dict[str, Any]:
        """A running pod."""
        spec = {
            "containers": [{"name": "c", "image": "none"}],
            "nodeName": "node-a",
            "terminationGracePeriodSeconds": 0,
        }
        body = self.body("v1", "Pod", name, spec, self.replica_set)
        body |= {} if self.has_kubelet else {"status": {"phase": "Running"}}
        (pod,) = self.plane.apply([body])
        return pod

    def end(self) -> None:
        """Stop the controller."""
        self.over.set()
        self.thread.join()


@dataclass
class Site:
    """A namespace, a manager, and a runner's identity."""

    plane: ControlPlane
    url: str
    store: Store
    admin: str
    namespace: str
    folder: Path
    infra: str = INFRA
    ended: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def order(self, tasks: list[dict[str, Any]], groups: list[list[str]], **spec: Any) -> dict[str, str]:
        """A new run; its ids and key."""
        manifest = {
            "kind": "KubernetesChaosExperiment",
            "apiVersion": "litmuschaos.io/v1alpha1",
            "metadata": {"name": f"exp-{secrets.token_hex(3)}", "namespace": self.namespace},
            "spec": {
                "tasks": tasks,
                "steps": [[{"name": name, "status": ""} for name in group] for group in groups],
                "cleanupPolicy": "delete",
                **spec,
            },
        }
        answer = CLIENT.post(
            f"{self.url}/v1/chaos/runs",
            params=TENANT,
            headers={"X-API-Key": self.admin},
            content=orjson.dumps({"infraID": self.infra, "experiment": manifest}),
        )
        assert answer.status_code == 201, answer.text
        ids: dict[str, str] = answer.json()
        return ids

    def run(self, ids: dict[str, str]) -> dict[str, Any]:
        """The run as it is now."""
        answer = CLIENT.get(
            f"{self.url}/v1/chaos/runs/{ids['runID']}", params=TENANT, headers={"X-API-Key": self.admin}
        )
        data: dict[str, Any] = answer.json()["data"]
        return data

    def config_map(self, ids: dict[str, str], **more: str) -> None:
        """The runner's ConfigMap with the annotations of a run."""
        names = {"experiment-id": "experimentID", "run-id": "runID", "notify-id": "notifyID"}
        annotations = {f"podsonar.io/{name}": ids[member] for name, member in names.items()}
        annotations |= {f"podsonar.io/{name.replace('_', '-')}": value for name, value in more.items()}
        metadata = {"name": "runner", "namespace": self.namespace, "annotations": annotations}
        self.plane.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}])

    def start(self, ids: dict[str, str], kubeconfig: Path, **more: str) -> subprocess.Popen[bytes]:
        """A runner's process; `more` are settings beside the usual ones."""
        self.config_map(ids)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "KUBERNETES_INFRA_SERVICE_ENDPOINT": f"{self.url}/chaos/kserver/api",
            "INFRA_ID": self.infra,
            "ACCOUNT_ID": "acc",
            "ORG_ID": "org",
            "PROJECT_ID": "pro",
            "ENVIRONMENT_ID": "env",
            "ACCESS_KEY": ids["accessKey"],
            "CHAOS_NAMESPACE": self.namespace,
            "CORRELATION_ID": "runner",
        } | more
        with (self.folder / "runner.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "--kubeconfig", str(kubeconfig)], env=environment, stdout=log, stderr=log
            )
        self.ended.append(process)
        return process

    def wait(self, condition: Any, seconds: float = 60.0) -> None:
        """Return once the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.folder / "runner.log").read_text()
            time.sleep(0.1)


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One API server for the folder's tests."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture(scope="package")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """One manager: its URL, and its database's."""
    database = f"sqlite:///{tmp_path_factory.mktemp('manager')}/manager.db"
    with closing(Store(database)) as store:
        store.migrate()
    with serving(database, parts=(mount_chaos,)) as url:
        yield url, database


@pytest.fixture
def site(plane: ControlPlane, manager: tuple[str, str], tmp_path: Path) -> Iterator[Site]:
    """A namespace of its own."""
    url, database = manager
    namespace = f"chaos-{secrets.token_hex(3)}"
    plane.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner", "namespace": namespace}},
        ]
    )
    with closing(Store(database)) as store:
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes).text()
        made = Site(plane, url, store, admin, namespace, tmp_path)
        yield made
        for process in made.ended:
            process.kill()
            process.wait()


@pytest.fixture
def kubelet(site: Site) -> Iterator[Kubelet]:
    """The node on which the pods of the namespace run; what injectors log is in the runner's log."""
    made = Kubelet(site.plane, site.namespace, site.folder / "runner.log")
    yield made
    made.end()


@pytest.fixture
def report_url() -> str:
    """Where the test's runner listens for its injectors."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def workload(site: Site) -> Iterator[Workload]:
    """Two pods of a Deployment."""
    made = Workload(site.plane, site.namespace, "web", 2)
    site.wait(lambda: len(made.list_pods()) == 2)
    yield made
    made.end()
