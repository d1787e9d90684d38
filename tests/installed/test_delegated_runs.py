"""Runs by a delegate on real nodes: brought, stopped, and released within the same bound though the runner is dead."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.shop import ShopWorkload
from tests.installed import experiments
from tests.installed.account_api import token
from tests.installed.cluster_objects import all_objects
from tests.installed.experiments import RELEASE_SECONDS, TENANT, Object, Operator, Ordered, wait
from tests.installed.pod_processes import processes

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(420)]

NAMESPACE, TARGETS = "runs", "runs-targets"  # of the delegate and its runners; of the pods that are hit
NAME = "runs"
WORKLOAD = ShopWorkload("target", pods=2, listen=(8080,))
STOPPED_SECONDS = 40  # ten for a runner to stop by itself, ten until the kubelet kills one that hangs, and all gone
TAKEN_AWAY_SECONDS = 60
LOSS: Object = {
    "kind": "KubernetesChaosExperiment",
    "apiVersion": "litmuschaos.io/v1alpha1",
    "metadata": {"name": "loss", "namespace": NAMESPACE},
    "spec": {
        "tasks": [
            {
                "name": "target",
                "definition": {
                    "targets": {
                        "selectors": {
                            "workloads": [{"kind": "deployment", "namespace": TARGETS, "names": WORKLOAD.name}]
                        }
                    },
                    "chaos": {
                        "experiment": "pod-network-loss",
                        "env": [
                            {"name": "DESTINATION_PORTS", "value": "8080"},
                            {"name": "POD_AFFECTED_PERCENTAGE", "value": "100"},
                            {"name": "TOTAL_CHAOS_DURATION", "value": "300"},
                        ],
                    },
                },
            }
        ],
        "steps": [[{"name": "target", "status": ""}]],
        "cleanupPolicy": "delete",
    },
}


@dataclass
class Course:
    """One run: what it said when it was asked to stop, when its fault was over, how it ended, what was left of it."""

    unconfirmed: str = ""
    release_seconds: float = 0.0
    stopped_seconds: float = 0.0
    ended: Object = field(default_factory=dict)
    objects: set[tuple[str, str, str]] = field(default_factory=set)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """What its only step says."""
        return str(self.ended["executionData"]["nodes"]["loss-target"]["message"])


def order(operator: Operator) -> Ordered:
    """A run whose fault is in, brought by the delegate."""
    file = operator.folder / "loss.yaml"
    file.write_text(yaml.safe_dump(LOSS))
    run_id = operator.chaos("run", *TENANT, "--infra", "lab", "--delegate", NAME, str(file)).strip()
    targets = {pod["metadata"]["uid"] for pod in operator.pods(TARGETS)}
    wait("both pods have their fault", lambda: set(experiments.faults_of_pods(operator.cluster)) == targets, 90)
    return Ordered(run_id, Path(), time.monotonic())


def leave(_operator: Operator, _pod: Object) -> None:
    """Let the runner live."""


def kill(operator: Operator, pod: Object) -> None:
    """Kill the runner for good: its process, its pod, and that a pod is made in its place."""
    quota = {"metadata": {"name": "none", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "0"}}}
    operator.cluster.apply([{"apiVersion": "v1", "kind": "ResourceQuota", **quota}])
    path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/none"
    wait("the quota holds", lambda: operator.cluster.get(path).get("status", {}).get("hard"))
    signal_processes(pod, signal.SIGKILL)
    name = pod["metadata"]["name"]
    operator.cluster.kubectl("-n", NAMESPACE, "delete", "pod", name, "--force", "--grace-period=0", "--wait=false")


def hang(_operator: Operator, pod: Object) -> None:
    """Let the runner's process hang: its pod looks well."""
    signal_processes(pod, signal.SIGSTOP)


def signal_processes(pod: Object, number: signal.Signals) -> None:
    """Send a signal to every process of Python in a pod, from the machine's side."""
    found = processes(pod["metadata"]["uid"])
    assert found
    for _command, fields in found:
        os.kill(int(fields["Pid"]), number)


def take_course(operator: Operator, harm: Callable[[Operator, Object], None]) -> Course:
    """A run that is stopped after something has happened to its runner."""
    before, course, run = all_objects(operator.cluster), Course(), order(operator)
    (pod,) = operator.pods(NAMESPACE, **{"ddcr.app/name": f"podsonar-run-{run.run_id[:8]}"})
    try:
        harm(operator, pod)
        begun = time.monotonic()
        operator.stop(run)
        wait("the fault is over", lambda: not experiments.faults_of_pods(operator.cluster), 30)
        course.release_seconds = time.monotonic() - begun
        course.unconfirmed = operator.report(run)["executionData"]["message"]  # confirmed ten seconds behind the stop
        wait("the run has stopped", lambda: operator.report(run)["completed"], 90)
        course.stopped_seconds = time.monotonic() - begun
        course.ended = operator.report(run)
    finally:
        operator.cluster.kubectl("-n", NAMESPACE, "delete", "resourcequota", "none", "--ignore-not-found")
    end = time.monotonic() + TAKEN_AWAY_SECONDS
    while (found := all_objects(operator.cluster) - before) and time.monotonic() < end:
        time.sleep(1)
    course.objects, course.faults = found, experiments.faults_of_pods(operator.cluster)
    return course


@pytest.fixture(scope="module")
def operator(installed: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A delegate that accepts runners, in a namespace of its own, and pods that it may hit in another."""
    try:
        privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
        for name, labels in ((NAMESPACE, privileged), (TARGETS, {})):
            installed.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
        target = shop.workload_object(WORKLOAD, installed.layout.outside, 60)
        installed.apply([target | {"metadata": target["metadata"] | {"namespace": TARGETS}}])
        values = {
            "collector.enabled": "false",
            "manager.install": "false",
            "manager.url": experiments.MANAGER,
            "delegate.enabled": "true",
            "delegate.name": NAME,
            "delegate.rbac": "managed",
            "delegate.runners": "true",
            "delegate.namespaces": f"{{{NAMESPACE},{TARGETS}}}",
            "delegate.token": token(installed, "delegate"),
            "kubernetes.imagePullPolicy": "Never",
        }
        sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        chart = ("install", NAME, str(install.CHART), "--namespace", NAMESPACE, *sets, "--wait", "--timeout=120s")
        install.helm(installed, *chart)
        with experiments.forwarded_manager(installed) as url:
            operator = Operator(installed, url, tmp_path_factory.mktemp("operator"), token(installed, "admin"))
            wait("targets run", lambda: [p["status"]["phase"] for p in operator.pods(TARGETS)] == ["Running"] * 2, 120)
            yield operator
    finally:
        install.helm(installed, "uninstall", NAME, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
        installed.kubectl("delete", "namespace", NAMESPACE, TARGETS, "--ignore-not-found", "--wait=true")


def test_run_of_a_delegate_is_stopped_and_leaves_nothing(operator: Operator) -> None:
    """Its runner lives: it releases and confirms; the delegate takes every object away."""
    course = take_course(operator, leave)
    assert course.release_seconds <= RELEASE_SECONDS
    assert course.ended["phase"] == "Stopped", course.ended["executionData"]
    assert "enough was seen; 2 pods, released by G2" in course.message
    assert (course.objects, course.faults) == (set(), {})


@pytest.mark.parametrize("harm", [kill, hang])
def test_dead_runner_s_fault_is_released_within_the_same_bound_and_confirmed_by_the_delegate(
    operator: Operator, harm: Callable[[Operator, Object], None]
) -> None:
    """Six seconds after the stop at most no fault is on a node; `Stopped` only when the delegate has seen all gone."""
    course = take_course(operator, harm)
    assert course.release_seconds <= RELEASE_SECONDS
    assert "not confirmed; ends by itself no later than 20" in course.unconfirmed
    assert course.ended["phase"] == "Stopped", course.ended["executionData"]
    assert course.message == "released; confirmed by the delegate: the runner and its injectors are gone"
    assert course.stopped_seconds <= STOPPED_SECONDS
    assert (course.objects, course.faults) == (set(), {})
