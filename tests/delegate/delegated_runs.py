"""Runs of experiments at a real API server and manager, with a delegate that brings their runners."""

import base64
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select

from lab.controlplane.server import ControlPlane
from manager.installations.tasks import tasks_of_run
from manager.store.delegate_tables import DELEGATES
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.chaos.runner.conftest import COMMAND, REPOSITORY, Workload
from tests.delegate.conftest import Site, TaskState, rendered_delegate, site_of

Object = dict[str, Any]


@dataclass
class Runs:
    """Runs of the site's account: runners in its namespace, the workload that they hit in another one."""

    site: Site
    key: str
    targets: str

    @property
    def query(self) -> dict[str, str]:
        """The tenant."""
        names = ("account", "project", "environment")
        return {f"{name}Identifier": value for name, value in zip(names, (self.site.namespace, "p", "e"), strict=True)}

    def ask(self, method: str, path: str = "", body: Any = None) -> httpx.Response:
        """The answer of the API."""
        url, headers = f"{self.site.url}/v1/chaos/runs{path}", {"X-API-Key": self.key}
        content = orjson.dumps(body) if body is not None else b""
        with httpx.Client(timeout=40, trust_env=False) as client:
            return client.request(method, url, params=self.query, headers=headers, content=content)

    def order(self, seconds: int, **more: Any) -> str:
        """The id of a new run that deletes pods of the workload; AssertionError if the API says no."""
        chaos = {
            "experiment": "pod-delete",
            "env": [
                {"name": "TOTAL_CHAOS_DURATION", "value": str(seconds)},
                {"name": "CHAOS_INTERVAL", "value": "2"},
                {"name": "FORCE", "value": "true"},
            ],
        }
        workloads = [{"kind": "deployment", "namespace": self.targets, "names": "web", "labels": ""}]
        task = {"name": "del", "definition": {"targets": {"selectors": {"workloads": workloads}}, "chaos": chaos}}
        experiment = {
            "kind": "KubernetesChaosExperiment",
            "metadata": {"name": f"x-{secrets.token_hex(3)}", "namespace": self.site.namespace},
            "spec": {"tasks": [task], "steps": [[{"name": "del"}]], **more.pop("spec", {})},
        }
        answer = self.ask("POST", "", {"infraID": "i", "experiment": experiment, "delegate": "test"} | more)
        assert answer.status_code == 201, answer.text
        assert set(answer.json()) == {"runID", "notifyID", "experimentID", "delegateTaskID"}
        return str(answer.json()["runID"])

    def data(self, run: str) -> Object:
        """The run as it is now."""
        found: Object = self.ask("GET", f"/{run}").json()["data"]
        return found

    def stop(self, run: str) -> None:
        """Ask it to stop."""
        assert self.ask("POST", f"/{run}/stop", {"reason": "enough"}).status_code == 202

    def tasks(self, run: str) -> dict[str, TaskState]:
        """The run's tasks by what they do."""
        with self.site.store.reading() as connection:
            found = tasks_of_run(connection, run)
        return {
            str(task.body["action"]): TaskState(task.status, task.message, task.objects, task.attempt) for task in found
        }

    def wait_for_task(self, run: str, action: str) -> TaskState:
        """A task of the run once it has ended."""
        self.site.wait(
            lambda: action in self.tasks(run) and self.tasks(run)[action].status not in ("PROCESSED", "RUNNING")
        )
        return self.tasks(run)[action]

    def wait_for_end(self, run: str) -> Object:
        """The run once it has completed."""
        self.site.wait(lambda: self.data(run)["completed"])
        return self.data(run)

    def get(self, plural: str, run: str, prefix: str = "/api/v1") -> Object:
        """One object of the run's runner."""
        path = f"{prefix}/namespaces/{self.site.namespace}/{plural}/podsonar-run-{run[:8]}"
        found: Object = self.site.plane.objects.request("GET", path)
        return found

    def secret(self, name: str) -> dict[str, str]:
        """The members of a Secret of the runner's namespace."""
        found = self.site.plane.objects.request("GET", f"/api/v1/namespaces/{self.site.namespace}/secrets/{name}")
        return {key: base64.b64decode(text).decode() for key, text in found["data"].items()}

    def variables(self, run: str) -> dict[str, str]:
        """The container's own variables as a kubelet would set them: texts, and members of Secrets."""
        deployment = self.get("deployments", run, "/apis/apps/v1")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        references = {one["name"]: one.get("valueFrom", {}).get("secretKeyRef") for one in container["env"]}
        texts = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        return texts | {name: self.secret(one["name"])[one["key"]] for name, one in references.items() if one}

    @contextmanager
    def runner(self, run: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The runner as its pod would run it: settings of its ConfigMap and Secret, rights of its account."""
        settings = self.get("configmaps", run)["data"]
        secret = self.secret(f"podsonar-run-{run[:8]}") | self.variables(run)
        kubeconfig = self.site.plane.kubeconfig_for(self.site.namespace, f"podsonar-run-{run[:8]}")
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **settings, **secret}
        environment |= {"CHAOS_NAMESPACE": self.site.namespace, "DDCR_ENDPOINT": ""}  # no injector reports here
        with (self.site.folder / "delegate.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "--kubeconfig", str(kubeconfig)], env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def pod(self, name: str) -> Object:
        """A pod of the runner's namespace."""
        path = f"/api/v1/namespaces/{self.site.namespace}/pods/{name}"
        found: Object = self.site.plane.objects.request("GET", path)
        return found

    def end_pod(self, name: str) -> None:
        """Confirm, as a kubelet does, that nothing of a pod runs any more."""
        path = f"/api/v1/namespaces/{self.site.namespace}/pods/{name}"
        content = orjson.dumps({"gracePeriodSeconds": 0})
        headers = {"Content-Type": "application/json"}
        self.site.plane.client.request("DELETE", path, content=content, headers=headers).raise_for_status()

    def wait_until_asked(self) -> None:
        """Return once a delegate of this account has asked from now on."""
        wanted = select(DELEGATES.c.id).where(
            DELEGATES.c.account == self.site.namespace, DELEGATES.c.seen_ns > time.time_ns()
        )

        def has_asked() -> bool:
            with self.site.store.reading() as connection:
                return connection.execute(wanted).first() is not None

        self.site.wait(has_asked)

    def delegate(self, **rules: Any) -> Any:
        """A delegate that accepts runners, while the block runs."""
        return self.site.delegate(**({"runners": True, "namespaces": [self.site.namespace, self.targets]} | rules))

    def uids(self) -> dict[str, str]:
        """Every object with its uid, but for those of the namespace in which an experiment deletes pods."""
        found = {name: one["metadata"] for name, one in self.site.objects().items()}
        return {name: one["uid"] for name, one in found.items() if one.get("namespace") != self.targets}


@pytest.fixture
def runs(plane: ControlPlane, manager: tuple[str, str], tmp_path: Path) -> Iterator[Runs]:
    """A site with a workload, the rights for runners, and a delegate that the manager has heard of."""
    with site_of(plane, manager, tmp_path, "managed") as site:
        targets = f"{site.namespace}-targets"
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": targets}}])
        places = f"delegate.namespaces={{{site.namespace},{targets}}}"
        plane.apply(rendered_delegate(site.namespace, "managed", places, "delegate.runners=true"))
        tenant = Tenant(site.namespace)
        key = create_token(site.store, "admin", "ada", time.time_ns(), secrets.token_bytes, tenant=tenant).text()
        workload = Workload(plane, targets, "web", 2)
        made = Runs(site, key, targets)
        with made.delegate():
            made.wait_until_asked()
        yield made
        workload.end()
