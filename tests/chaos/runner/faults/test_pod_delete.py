"""A run of `pod-delete` on a real API server: the right pods, by UID, never twice, and the run says what happened."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.control.experiments.runner_manifests import RunIds, RunnerPlace, runner_manifests
from chaos.control.experiments.runs.manifest import read_manifest
from tests.chaos.runner.conftest import Site, Workload

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def task(name: str, namespace: str, workload: str = "web", kind: str = "deployment", **settings: str) -> dict[str, Any]:
    """A task of the fault."""
    values = {"TOTAL_CHAOS_DURATION": "3", "CHAOS_INTERVAL": "1", "FORCE": "true"} | settings
    workloads = [{"kind": kind, "namespace": namespace, "names": workload, "labels": ""}]
    chaos = {"experiment": "pod-delete", "env": [{"name": key, "value": value} for key, value in values.items()]}
    return {"name": name, "definition": {"targets": {"selectors": {"workloads": workloads}}, "chaos": chaos}}


def rights(site: Site, tasks: list[dict[str, Any]], **spec: Any) -> list[dict[str, Any]]:
    """The runner's manifests for some tasks: its role comes from them."""
    document = {
        "kind": "KubernetesChaosExperiment",
        "metadata": {"name": "x", "namespace": site.namespace},
        "spec": {"tasks": tasks, "steps": [[{"name": one["name"]} for one in tasks]], **spec},
    }
    return manifests_of(site, document)


def manifests_of(site: Site, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The runner's manifests for an experiment."""
    place = RunnerPlace("runner", site.namespace, "image", "i", "https://m", "a", "o", "p", "e", "k", "l")
    return runner_manifests(place, RunIds("e", "r", "n"), read_manifest(document))


def identity_of(site: Site, document: dict[str, Any]) -> Path:
    """The identity of an experiment's runner, with the rights of its manifests and nothing more."""
    kinds = {"ServiceAccount", "Role", "RoleBinding"}
    site.plane.apply(one for one in manifests_of(site, document) if one["kind"] in kinds)
    return site.plane.kubeconfig_for(site.namespace, "runner")


def kubeconfig(site: Site, tasks: list[dict[str, Any]], **spec: Any) -> Path:
    """The runner's own identity, with the rights of its manifests and nothing more."""
    kinds = {"ServiceAccount", "Role", "RoleBinding"}
    site.plane.apply(one for one in rights(site, tasks, **spec) if one["kind"] in kinds)
    return site.plane.kubeconfig_for(site.namespace, "runner")


def run_to_end(site: Site, process: "subprocess.Popen[bytes]", ids: dict[str, str]) -> dict[str, Any]:
    """The run once its runner has ended."""
    assert process.wait(90) is not None
    return site.run(ids)


def verdicts(run: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Phase and verdict by step."""
    nodes = run["executionData"]["nodes"].values()
    return {
        node["name"]: (node["phase"], node["chaosData"]["experimentVerdict"])
        for node in nodes
        if node["type"] == "K8sTask"
    }


def test_pods_are_deleted_and_the_run_completes(site: Site, workload: Workload) -> None:
    """Two groups after each other; a StatefulSet's pod with the same labels is untouched; the workload has healed."""
    labels = {"app": "web"}
    bystander = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": site.namespace, "labels": labels | {"other": "yes"}},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
        "status": {"phase": "Running"},
    }
    workload.pods = 3  # the bystander counts for the controller of the test
    (kept,) = site.plane.apply([bystander])
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    tasks = [task("first", site.namespace), task("second", site.namespace, POD_AFFECTED_PERCENTAGE="100")]
    ids = site.order(tasks, [["first"], ["second"]])
    run = run_to_end(site, site.start(ids, kubeconfig(site, tasks)), ids)
    assert (run["phase"], run["completed"], run["resiliencyScore"], run["faultsPassed"]) == (
        "Completed",
        True,
        100,
        2,
    ), run["executionData"]["nodes"]
    assert verdicts(run) == {"first": ("Completed", "Pass"), "second": ("Completed", "Pass")}
    after = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    assert kept["metadata"]["uid"] in after
    assert before & after == {kept["metadata"]["uid"]}
    nodes = run["executionData"]["nodes"]
    first, second = (nodes[f"{run['experimentName']}-{name}"] for name in ("first", "second"))
    assert int(first["finishedAt"]) <= int(second["startedAt"])
    assert "pods deleted" in first["message"]


def test_missing_right_is_named_and_nothing_is_hit(site: Site, workload: Workload) -> None:
    """Without `delete` on pods: Error, with verb and resource in the API server's own words."""
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    tasks = [task("only", site.namespace)]
    identity = kubeconfig(site, tasks)
    for one in rights(site, tasks):
        if one["kind"] == "Role":
            for rule in one["rules"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb != "delete"]
            site.plane.apply([one])
    ids = site.order(tasks, [["only"]])
    run = run_to_end(site, site.start(ids, identity), ids)
    message = run["executionData"]["nodes"][f"{run['experimentName']}-only"]["message"]
    assert (run["phase"], run["resiliencyScore"], verdicts(run)) == ("Error", 0, {"only": ("Error", "Error")})
    assert "cannot delete resource" in message
    assert {pod["metadata"]["uid"] for pod in workload.list_pods()} == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"workload": "nobody"}, "is not there", id="workload"),
        pytest.param({"kind": "node"}, "expected deployment", id="kind"),
        pytest.param({"SEQUENCE": "both"}, "expected parallel or serial", id="sequence"),
        pytest.param({"TARGET_PODS": "web-x"}, "no pod of the targets", id="pod's name"),
    ],
)
def test_wrong_settings_end_the_step_with_a_sentence(
    site: Site, workload: Workload, changes: dict[str, str], expected: str
) -> None:
    """Error of the step, nothing deleted."""
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    tasks = [task("only", site.namespace, **changes)]
    ids = site.order(tasks, [["only"]])
    run = run_to_end(site, site.start(ids, kubeconfig(site, tasks)), ids)
    assert expected in run["executionData"]["nodes"][f"{run['experimentName']}-only"]["message"]
    assert {pod["metadata"]["uid"] for pod in workload.list_pods()} == before


@pytest.mark.parametrize("way", ["manager", "annotation", "SIGTERM"])
def test_stop_ends_the_step_and_skips_the_rest(site: Site, workload: Workload, way: str) -> None:
    """By the API, by the ConfigMap's annotations, by the pod's end: Stopped within seconds, later steps are skipped."""
    tasks = [task("long", site.namespace, TOTAL_CHAOS_DURATION="600"), task("later", site.namespace)]
    ids = site.order(tasks, [["long"], ["later"]])
    process = site.start(ids, kubeconfig(site, tasks))
    site.wait(lambda: verdicts(site.run(ids))["long"][0] == "Running")
    begun = time.monotonic()
    if way == "manager":
        stop(site, ids)
    elif way == "annotation":
        site.config_map(ids, action="abort", abort_runs=f"x,{ids['runID']}", abort_reason="enough")
    else:
        process.terminate()
    run = run_to_end(site, process, ids)
    assert time.monotonic() - begun < 15
    assert verdicts(run) == {"long": ("Stopped", "Stopped"), "later": ("Skipped", "N/A")}
    assert (run["phase"], run["completed"], run["faultsStopped"]) == ("Stopped", True, 1)


def stop(site: Site, ids: dict[str, str]) -> None:
    """Ask the manager."""
    from tests.chaos.runner.conftest import TENANT
    from tests.manager.conftest import CLIENT

    answer = CLIENT.post(
        f"{site.url}/v1/chaos/runs/{ids['runID']}/stop",
        params=TENANT,
        headers={"X-API-Key": site.admin},
        content=b'{"reason": "enough"}',
    )
    assert answer.status_code == 202


def test_killed_runner_never_injects_twice(site: Site, workload: Workload) -> None:
    """A runner that comes again finds its step running: Error, interrupted; nothing is deleted by the second one."""
    tasks = [task("long", site.namespace, TOTAL_CHAOS_DURATION="600", CHAOS_INTERVAL="300")]
    ids = site.order(tasks, [["long"]])
    identity = kubeconfig(site, tasks)
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    process = site.start(ids, identity)
    site.wait(lambda: {pod["metadata"]["uid"] for pod in workload.list_pods()} != before)
    process.kill()
    process.wait()
    site.wait(lambda: len(workload.list_pods()) == 2)
    between = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    run = run_to_end(site, site.start(ids, identity), ids)
    assert verdicts(run) == {"long": ("Error", "Error")}
    assert "interrupted" in run["executionData"]["nodes"][f"{run['experimentName']}-long"]["message"]
    assert {pod["metadata"]["uid"] for pod in workload.list_pods()} == between


def test_runner_deletes_its_own_deployment(site: Site, workload: Workload) -> None:
    """At the end, as its role allows; a run that is over already deletes it at once."""
    tasks = [task("only", site.namespace, TOTAL_CHAOS_DURATION="1")]
    ids = site.order(tasks, [["only"]])
    labels = {"matchLabels": {"app": "runner"}}
    template = {"metadata": {"labels": {"app": "runner"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": 0, "selector": labels, "template": template}
    metadata = {"name": "runner", "namespace": site.namespace}
    site.plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}])
    run = run_to_end(site, site.start(ids, kubeconfig(site, tasks)), ids)
    assert run["phase"] == "Completed"
    path = f"/apis/apps/v1/namespaces/{site.namespace}/deployments/runner"
    found = site.plane.client.get(path)
    assert found.status_code == 404 or found.json()["metadata"].get("deletionTimestamp")


def test_role_holds_the_rights_of_the_fault_alone(site: Site) -> None:
    """Pods may be deleted in the target's namespace, the ConfigMap read in the runner's own; no wildcard, no Secret."""
    other = task("only", "elsewhere")
    roles = [one for one in rights(site, [other]) if one["kind"] == "Role"]
    by_namespace = {one["metadata"]["namespace"]: one["rules"] for one in roles}
    assert set(by_namespace) == {site.namespace, "elsewhere"}
    flat = yaml.safe_dump(by_namespace)
    assert "*" not in flat
    assert "secrets" not in flat
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]} in by_namespace["elsewhere"]
