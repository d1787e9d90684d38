"""Probes of a run's steps on a real API server: they decide the verdict, the percentage, and whether a step begins."""

from typing import Any

import pytest

from chaos.control.experiments.runs.manifest import read_manifest
from podsonar.errors import InputError
from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, rights, task, verdicts

QUICK = {"probeTimeout": "10s", "interval": "1s"}


def command(name: str, text: str, **properties: Any) -> dict[str, Any]:
    """A probe that runs a command and expects `ok`."""
    comparator = {"type": "string", "criteria": "equal", "value": "ok"}
    inputs = {"command": text, "comparator": comparator}
    return {"name": name, "type": "cmdProbe", "cmdProbe/inputs": inputs, "runProperties": QUICK | properties}


def look(name: str, namespace: str, operation: str, **inputs: str) -> dict[str, Any]:
    """A probe that looks for objects."""
    given = {"version": "v1", "resource": "pods", "namespace": namespace, "operation": operation} | inputs
    return {"name": name, "type": "k8sProbe", "k8sProbe/inputs": given, "runProperties": QUICK}


def step(site: Site, name: str, workload: str, *probes: tuple[str, str], **settings: str) -> dict[str, Any]:
    """A task with references to probes and their modes."""
    references = [{"probeID": probe, "mode": mode} for probe, mode in probes]
    return task(name, site.namespace, workload, **settings) | {"probeRef": references}


@pytest.mark.cluster
@pytest.mark.long
def test_probes_decide_the_steps(site: Site, workload: Workload) -> None:
    """Five steps: what passes, what was not there before, what breaks meanwhile, what cannot run.

    The command `blind` passes where it cannot read the runner's own identity.
    """
    identity = site.plane.folder / f"{site.namespace}.runner.kubeconfig"
    probes = [
        {
            "name": "manager",
            "type": "httpProbe",
            "httpProbe/inputs": {"url": f"{site.url}/healthz"},
            "runProperties": QUICK,
        },
        command("fine", "echo ok"),
        command("blind", f"test -s {identity} && ! cat {identity} && echo ok"),
        command("wrong", "echo no"),
        command("ends", "echo no", stopOnFailure=True),
        command("nowhere", "./healthcheck"),
        look("pods", site.namespace, "present", labelSelector="app=web"),
        look("nobody", site.namespace, "absent", labelSelector="app=nobody"),
    ]
    all_modes = [("manager", "SOT"), ("fine", "Edge"), ("pods", "EOT"), ("nobody", "Continuous"), ("fine-ping", "SOT")]
    all_modes.append(("blind", "EOT"))
    tasks = [
        step(site, "passes", "web", *all_modes, TOTAL_CHAOS_DURATION="1"),
        step(site, "unsteady", "web", ("wrong", "SOT"), ("fine", "EOT")),
        step(site, "fails", "web", ("wrong", "EOT"), ("fine", "EOT"), TOTAL_CHAOS_DURATION="1"),
        step(site, "broken", "web", ("nowhere", "EOT"), TOTAL_CHAOS_DURATION="1"),
        step(site, "stopped", "web", ("ends", "OnChaos"), TOTAL_CHAOS_DURATION="600", CHAOS_INTERVAL="300"),
    ]
    ids = site.order(tasks, [[one["name"]] for one in tasks], probes=probes)
    process = site.start(ids, kubeconfig(site, tasks, probes=probes))
    assert process.wait(90) is not None
    run = site.run(ids)
    assert verdicts(run) == {
        "passes": ("Completed", "Pass"),
        "unsteady": ("Completed_With_Probe_Failure", "Fail"),
        "fails": ("Completed_With_Probe_Failure", "Fail"),
        "broken": ("Error", "Error"),
        "stopped": ("Completed_With_Probe_Failure", "Fail"),
    }, run["executionData"]["nodes"]
    nodes = {node["name"]: node for node in run["executionData"]["nodes"].values()}
    percentages = {
        name: node["chaosData"]["probeSuccessPercentage"] for name, node in nodes.items() if "chaosData" in node
    }
    assert percentages == {"passes": "100", "unsteady": "0", "fails": "50", "broken": "0", "stopped": "0"}
    assert nodes["unsteady"]["message"].endswith("nothing was injected")
    assert nodes["broken"]["chaosData"]["errorCode"] == "E2008: CMD_PROBE_ERROR"
    assert "exit status 127; /bin/sh: 1: ./healthcheck: not found" in nodes["broken"]["message"]
    assert f"{{chaosInfraID: {run['infraID'].partition('/')[2]}, probeName: nowhere}}" in nodes["broken"]["message"]


def test_k8s_probe_gives_its_own_right_and_nothing_more(site: Site) -> None:
    """`list` on the resource in the namespace that is looked at."""
    probe = look("jobs", "elsewhere", "present", group="batch", resource="jobs")
    tasks = [step(site, "only", "web", ("jobs", "SOT"))]
    roles = [one for one in rights(site, tasks, probes=[probe]) if one["kind"] == "Role"]
    (found,) = [one["rules"] for one in roles if one["metadata"]["namespace"] == "elsewhere"]
    assert found == [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"name": "x", "type": "cmdProbe"}, "expected cmdProbe/inputs"),
        ({"name": "x", "type": "sqlProbe"}, "Invalid enum value 'sqlProbe'"),
        (command("x", "true") | {"httpProbe/inputs": {"url": "http://a"}}, "and no others"),
        (command("x", "true", interval="soon"), "expected a duration"),
        (look("x", "shop", "present", resource="secrets"), "expected another resource"),
        (look("x", "shop", "created"), "Invalid enum value 'created'"),
    ],
)
def test_wrong_probe_is_refused_with_the_experiment(probe: dict[str, Any], expected: str) -> None:
    """Before anything runs."""
    document = {
        "kind": "KubernetesChaosExperiment",
        "metadata": {"name": "x", "namespace": "y"},
        "spec": {
            "tasks": [task("only", "shop") | {"probeRef": [{"probeID": "x", "mode": "SOT"}]}],
            "steps": [[{"name": "only"}]],
            "probes": [probe],
        },
    }
    with pytest.raises(InputError, match=expected):
        read_manifest(document)
