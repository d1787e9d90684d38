"""An experiment's run by the hands of a delegate: its runner comes, is told to stop, and goes, dead or alive."""

import base64
import os
import random
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

from chaos.control.experiments.delegated.progress import STOP_NS
from lab.controlplane.server import ControlPlane
from manager.installations.tasks import tasks_of_run
from manager.store.delegate_tables import DELEGATES
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.chaos.runner.conftest import COMMAND, REPOSITORY, Workload
from tests.delegate.conftest import Site, TaskState, rendered_delegate, site_of

pytestmark = [pytest.mark.cluster, pytest.mark.long]

OBJECTS = {"ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Service", "Deployment"}
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

    @contextmanager
    def runner(self, run: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The runner as its pod would run it: settings of its ConfigMap and Secret, rights of its account."""
        settings = self.get("configmaps", run)["data"]
        secret = {name: base64.b64decode(text).decode() for name, text in self.get("secrets", run)["data"].items()}
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

    def delegate_is_known(self) -> bool:
        """Whether the manager has heard of a delegate of this account."""
        with self.site.store.reading() as connection:
            found = connection.execute(select(DELEGATES.c.id).where(DELEGATES.c.account == self.site.namespace))
            return found.first() is not None

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
            site.wait(made.delegate_is_known)
        yield made
        workload.end()


def step(data: Object) -> tuple[str, str]:
    """Phase and message of the run's only step."""
    (node,) = (one for one in data["executionData"]["nodes"].values() if one["type"] == "K8sTask")
    return node["phase"], node["message"]


def test_run_is_brought_and_taken_away_by_the_delegate(runs: Runs) -> None:
    """Ordered, applied, run by the real runner with what the list gave it; then every object is as it was before."""
    before = runs.uids()
    with runs.delegate():
        run = runs.order(3)
        brought = runs.wait_for_task(run, "run")
        assert brought.status == "SUCCESS", brought
        assert {one["kind"] for one in brought.objects if one["result"] == "created"} == OBJECTS
        with runs.runner(run) as process:
            ended = runs.wait_for_end(run)
            assert process.wait(30) == 0
        assert (ended["phase"], ended["faultsPassed"]) == ("Completed", 1), ended["executionData"]
        removed = runs.wait_for_task(run, "remove")
        assert removed.status == "SUCCESS", removed
    assert runs.uids() == before
    assert runs.data(run)["phase"] == "Completed"


def test_stop_reaches_the_runner_by_its_config_map(runs: Runs) -> None:
    """The same list with the abort's annotations: the ConfigMap is changed, nothing else; the runner stops by it."""
    with runs.delegate():
        run = runs.order(120)
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        with runs.runner(run):
            runs.site.wait(lambda: step(runs.data(run))[0] == "Running")
            runs.stop(run)
            abort = runs.wait_for_task(run, "abort")
            annotations = runs.get("configmaps", run)["metadata"]["annotations"]
            ended = runs.wait_for_end(run)
        assert abort.status == "SUCCESS", abort
        changed = {name for name, result in abort.results().items() if result != "unchanged"}
        assert changed == {f"ConfigMap podsonar-run-{run[:8]}"}
        assert annotations["podsonar.io/action"] == "abort"
        assert (annotations["podsonar.io/abort-runs"], annotations["podsonar.io/abort-reason"]) == (run, "enough")
        assert ended["phase"] == "Stopped"
        assert "enough" in step(ended)[1]
        assert runs.wait_for_task(run, "remove").status == "SUCCESS"


def injector(runs: Runs, run: str, name: str, owner: str | None = None, of: str = "") -> str:
    """The name of a pod as a runner makes it for an injector, on a node; `owner`: of another Deployment."""
    deployment = runs.get("deployments", run, "/apis/apps/v1")["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner or deployment["name"]}
    metadata = {
        "name": name,
        "namespace": runs.site.namespace,
        "labels": {"podsonar.io/run-id": of or run, "podsonar.io/role": "injector"},
        "ownerReferences": [reference | {"uid": deployment["uid"]}],
    }
    spec = {"nodeName": "node-a", "terminationGracePeriodSeconds": 5, "containers": [{"name": "c", "image": "none"}]}
    runs.site.plane.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
    return name


def test_dead_runner_s_injectors_are_deleted_and_the_run_stops_when_they_are_gone(runs: Runs) -> None:
    """Runner killed: not confirmed, with the deadline, while a kubelet still holds an injector; `Stopped` after it."""
    with runs.delegate():
        run = runs.order(120)
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        with runs.runner(run) as process:
            runs.site.wait(lambda: step(runs.data(run))[0] == "Running")
            process.kill()
        injectors = [injector(runs, run, f"injector-{number}") for number in range(3)]
        others = [injector(runs, run, "of-another-run", of="0" * 8), injector(runs, run, "of-another", owner="other")]
        stopped_ns = time.time_ns()
        runs.stop(run)
        runs.site.wait(lambda: all(runs.pod(name)["metadata"].get("deletionTimestamp") for name in injectors))
        for name in injectors:
            data = runs.data(run)
            assert not data["completed"]
            assert "not confirmed; ends by itself no later than 20" in data["executionData"]["message"]
            runs.end_pod(name)
        ended = runs.wait_for_end(run)
    assert ended["phase"] == "Stopped"
    assert step(ended)[1] == "released; confirmed by the delegate: the runner and its injectors are gone"
    assert time.time_ns() - stopped_ns >= STOP_NS
    deleted = {name for name, result in runs.tasks(run)["remove"].results().items() if result == "deleted"}
    assert {f"Pod {name}" for name in injectors} | {f"Deployment podsonar-run-{run[:8]}"} <= deleted
    for name in others:
        assert "deletionTimestamp" not in runs.pod(name)["metadata"]


def kill_at_work(runs: Runs, run: str, action: str, seconds: float) -> None:
    """Start a delegate, and kill it so long after it began to work, if its task is not over before."""
    already = runs.site.log_text().count("task_began")
    process = runs.site.start(runners=True, namespaces=[runs.site.namespace, runs.targets])
    runs.site.wait(
        lambda: runs.site.log_text().count("task_began") > already or runs.tasks(run)[action].status == "SUCCESS"
    )
    time.sleep(seconds)
    process.kill()
    process.wait()


def test_delegate_killed_at_work_brings_one_runner_and_takes_all_of_it_away(runs: Runs) -> None:
    """Kill -9 while it applies and while it deletes: another one finishes, and no object is left."""
    moments = random.Random(time.time_ns())  # noqa: S311 - no secret
    before = runs.uids()
    run = runs.order(120)
    for _ in range(3):
        kill_at_work(runs, run, "run", moments.uniform(0.0, 0.7))
    with runs.delegate():
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        runs.stop(run)
        assert runs.wait_for_task(run, "abort").status == "SUCCESS"
    runs.site.wait(lambda: "remove" in runs.tasks(run))
    kill_at_work(runs, run, "remove", moments.uniform(0.0, 0.7))
    with runs.delegate():
        assert runs.wait_for_end(run)["phase"] == "Stopped"
    assert runs.uids() == before


def test_refused_list_ends_the_run_with_the_reason(runs: Runs) -> None:
    """A delegate that accepts no runners: nothing is applied, and the run says why."""
    before = runs.uids()
    with runs.delegate(runners=False):
        run = runs.order(3)
        ended = runs.wait_for_end(run)
    assert ended["phase"] == "Error"
    reason = "a runner of experiments, and delegate.runners is false; "
    assert f"the delegate brought no runner: Deployment podsonar-run-{run[:8]}: {reason}" in ended["errorResponse"]
    assert runs.uids() == before


def test_stop_before_a_delegate_asked_ends_the_run_at_once(runs: Runs) -> None:
    """Nothing was applied, and nothing will be."""
    before = runs.uids()
    run = runs.order(3)
    runs.stop(run)
    ended = runs.wait_for_end(run)
    assert ended["phase"] == "Stopped"
    assert step(ended) == ("Skipped", "stopped before a delegate took it: nothing was applied")
    with runs.delegate():
        assert runs.tasks(run)["run"].status == "ABORTED"
        time.sleep(2.0)  # longer than a turn of the manager's: the delegate has asked
    assert runs.uids() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"delegate": "nobody"}, "known in 0 clusters, expected one", id="delegate"),
        pytest.param({"spec": {"windows": {}}}, "spec.windows needs the agents' token", id="windows"),
    ],
)
def test_order_that_no_delegate_can_carry_out_is_refused(runs: Runs, change: Object, expected: str) -> None:
    """400 with the reason, and nothing is stored."""
    with pytest.raises(AssertionError, match=expected):
        runs.order(3, **change)
    assert runs.ask("GET").json()["items"] == []
