"""A real API server, a real manager, and the delegate as a process with the rights that the chart gives it."""

import itertools
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
import yaml

from chaos.control.mount import mount_chaos
from lab.controlplane.binaries import find_or_build
from lab.controlplane.server import ControlPlane
from manager.installations import installations
from manager.installations.installations import Installation, installation_wire
from manager.installations.tasks import find_task
from manager.server import serving
from manager.store.agents import Agent
from manager.store.database import Store
from manager.store.tenancy import NO_TENANT, Tenant
from manager.store.tokens.issued import create_token
from tests.delegate.controllers import Controllers, controllers
from tests.manager.installations.seed_agent import SEED, create_agent

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "deploy/charts/podsonar"
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "delegate"]
TIMEOUT_SECONDS = 60.0
COUNTER = itertools.count(1)


class TaskState(NamedTuple):
    """What the manager knows of a task."""

    status: str
    message: str
    objects: list[dict[str, Any]]
    attempt: int

    def results(self) -> dict[str, str]:
        """The result of each object."""
        return {f"{one['kind']} {one['name']}": one["result"] for one in self.objects}


@dataclass
class Site:
    """A namespace of a cluster, a manager, and delegates that the test starts."""

    plane: ControlPlane
    namespace: str
    url: str
    store: Store
    token: str
    kubeconfig: Path
    folder: Path
    workloads: Controllers
    settings: dict[str, Any] = field(default_factory=dict)

    def agent(self, *, permanent: bool = True, tenant: Tenant = NO_TENANT, **members: Any) -> Agent:
        """An agent as the API makes it; `members` are those of the configuration's `kubernetes` and `data`."""
        config = SEED | {
            "kubernetes": SEED["kubernetes"] | {"namespace": self.namespace} | members.get("kubernetes", {}),
            "data": SEED["data"] | members.get("data", {}),
        }
        return create_agent(self.store, tenant, config, time.time_ns(), permanent=permanent)

    def install(self, agent: Agent) -> Installation:
        """An installation of the agent, as POST …/installations makes it."""
        with self.store.writing() as connection:
            return installations.create_installation(connection, agent, time.time_ns(), secrets.token_bytes)

    def stop(self, installation: Installation) -> Installation:
        """The installation, stopped as by POST …/stop."""
        with self.store.writing() as connection:
            return installations.stop_installation(connection, installation, time.time_ns(), secrets.token_bytes)

    def remove(self, installation: Installation) -> None:
        """Stop the installation, and return once its objects are taken away."""
        removal = self.stop(installation).removal_task_id
        assert removal is not None
        assert self.wait_for_end(removal).status == "SUCCESS"

    def state(self, task_id: str) -> TaskState:
        """The state of a task."""
        with self.store.reading() as connection:
            task = find_task(connection, task_id)
        assert task is not None
        return TaskState(task.status, task.message, task.objects, task.attempt)

    def shown(self, installation: Installation) -> dict[str, Any]:
        """The installation as the API shows it now."""
        with self.store.reading() as connection:
            return installation_wire(installations.require_installation(connection, installation.id))

    def wait_for_end(self, task_id: str) -> TaskState:
        """The state of a task once it has ended."""
        self.wait(lambda: self.state(task_id).status not in ("PROCESSED", "RUNNING"))
        return self.state(task_id)

    def wait(self, condition: Callable[[], object]) -> None:
        """Return once the condition holds."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.05)

    def log_text(self) -> str:
        """The delegates' log so far."""
        log = self.folder / "delegate.log"
        return log.read_text() if log.exists() else "no delegate was started"

    def command(self, *words: str, **rules: Any) -> list[str]:
        """A command of the delegate with this site's settings; `rules` are settings of the group `delegate`."""
        (self.folder / "token").write_text(self.token)
        settings = {
            "delegate": {
                "name": "test",
                "namespaces": [self.namespace],
                "imagePrefixes": ["localhost/podsonar-"],
                "pollSeconds": 2,
            }
            | self.settings
            | rules,
            "manager": {"url": self.url, "tokenFile": str(self.folder / "token")},
        }
        (self.folder / "settings.yaml").write_bytes(orjson.dumps(settings))
        return [*COMMAND, *words, "--config", str(self.folder / "settings.yaml"), "--kubeconfig", str(self.kubeconfig)]

    def start(self, **rules: Any) -> subprocess.Popen[bytes]:
        """A delegate's process."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        with (self.folder / "delegate.log").open("ab") as log:
            return subprocess.Popen(self.command("run", **rules), env=environment, stdout=log, stderr=log)

    @contextmanager
    def delegate(self, **rules: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A delegate while the block runs."""
        process = self.start(**rules)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def log_lines(self, installation: Installation) -> list[str]:
        """The lines of an installation's log, as a person reads them."""
        key = create_token(self.store, "read", "person", time.time_ns(), secrets.token_bytes).text()
        query = {"accountID": self.namespace, "key": installation.log_stream_id}
        answer = httpx.get(
            f"{self.url}/log-service/blob", params=query, headers={"X-API-Key": key}, timeout=30, trust_env=False
        )
        return [orjson.loads(line)["out"] for line in answer.raise_for_status().content.splitlines()]

    def objects(self) -> dict[str, dict[str, Any]]:
        """Every object of the kinds that a delegate changes, in all namespaces, by kind, namespace and name."""
        paths = {
            "/api/v1": ("namespaces", "serviceaccounts", "secrets", "configmaps", "services", "pods", "endpoints"),
            "/apis/apps/v1": ("deployments", "daemonsets", "replicasets", "controllerrevisions"),
            "/apis/networking.k8s.io/v1": ("networkpolicies",),
            "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings", "roles", "rolebindings"),
        }
        found = {}
        for prefix, plurals in paths.items():
            for plural in plurals:
                for one in self.plane.objects.request("GET", f"{prefix}/{plural}")["items"]:
                    metadata = one["metadata"]
                    found[f"{plural} {metadata.get('namespace', '')}/{metadata['name']}"] = one
        return found


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


def rendered_delegate(namespace: str, rbac: str, *more: str) -> list[dict[str, Any]]:
    """The chart's objects for a delegate alone, in the namespace that it installs into."""
    helm = find_or_build(("helm",))["helm"]
    values = ("collector.enabled=false", "manager.install=false", "manager.url=https://manager.example")
    values += ("delegate.enabled=true", "delegate.token=t", f"delegate.rbac={rbac}", *more)
    sets = [word for value in values for word in ("--set", value)]
    done = subprocess.run(
        [helm, "template", "podsonar", CHART, "--namespace", namespace, *sets],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] in wanted]


@contextmanager
def site_of(plane: ControlPlane, manager: tuple[str, str], folder: Path, rbac: str) -> Iterator[Site]:
    """A fresh namespace with the delegate's rights in it, and a fresh account at the manager."""
    namespace = f"hce-{next(COUNTER)}"
    plane.apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("kube-system", namespace)]
    )
    plane.apply(rendered_delegate(namespace, rbac))
    url, database = manager
    with closing(Store(database)) as store, controllers(plane, namespace) as workloads:
        token = create_token(store, "delegate", "test", time.time_ns(), secrets.token_bytes, tenant=Tenant(namespace))
        kubeconfig = plane.kubeconfig_for(namespace, "podsonar-delegate")
        yield Site(plane, namespace, url, store, token.text(), kubeconfig, folder, workloads, {"rbac": rbac})


@pytest.fixture
def site(plane: ControlPlane, manager: tuple[str, str], tmp_path: Path) -> Iterator[Site]:
    """A site whose roles the chart has made."""
    with site_of(plane, manager, tmp_path, "preinstalled") as found:
        yield found


@pytest.fixture
def managed_site(plane: ControlPlane, manager: tuple[str, str], tmp_path: Path) -> Iterator[Site]:
    """A site whose roles the delegate applies."""
    with site_of(plane, manager, tmp_path, "managed") as found:
        yield found


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client that ignores the environment's proxies."""
    with httpx.Client(timeout=40, trust_env=False) as client:
        yield client
