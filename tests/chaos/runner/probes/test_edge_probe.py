"""A run whose probes ask the manager's map, which agents feed while the fault is in: the steps follow from it."""

import secrets
import time
from typing import Any

import pytest

from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.observed_shop import CART, DB, LOAD, OUTSIDE, Counts, ObservedShop
from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, task, verdicts

pytestmark = [pytest.mark.cluster, pytest.mark.long]

FAULT_SECONDS, WINDOW_SECONDS = 15, 4


def edge_probe(name: str, edge: str, **inputs: Any) -> dict[str, Any]:
    """A probe of an edge."""
    given = {"edge": edge} | inputs
    return {"name": name, "type": "edgeProbe", "edgeProbe/inputs": given, "runProperties": {"probeTimeout": "40s"}}


def test_map_decides_the_steps(site: Site, workload: Workload) -> None:
    """Side by side: an edge that holds, one that breaks, one that should have, one that nobody used."""
    workload.pods = 8  # every step finds one that no other has deleted
    site.wait(lambda: len(workload.list_pods()) == 8)
    site.infra = f"shop-{secrets.token_hex(4)}"
    shop = ObservedShop(site.url, site.store, site.infra, time.time_ns() - 60 * NS_PER_SECOND)
    shop.window(time.time_ns() - 40 * NS_PER_SECOND, 20)
    probes = [
        edge_probe("holds", CART),
        edge_probe("breaks", DB, expect="breaks"),
        edge_probe("wrong", LOAD, expect="breaks"),
        edge_probe("rare", OUTSIDE) | {"runProperties": {"probeTimeout": "16s"}},
    ]
    settings = {"TOTAL_CHAOS_DURATION": str(FAULT_SECONDS), "CHAOS_INTERVAL": "60"}
    tasks = [
        task(f"step-{one['name']}", site.namespace, **settings)
        | {"probeRef": [{"probeID": one["name"], "mode": "EOT"}]}
        for one in probes
    ]
    ids = site.order(tasks, [[one["name"] for one in tasks]], probes=probes)
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    process = site.start(ids, kubeconfig(site, tasks, probes=probes))
    site.wait(lambda: {pod["metadata"]["uid"] for pod in workload.list_pods()} != before)
    time.sleep(5)  # every step's fault is in by now, and for as long again after the window
    start_ns = time.time_ns()
    time.sleep(WINDOW_SECONDS)
    shop.window(start_ns, WINDOW_SECONDS, load=Counts(6), cart=Counts(6), db=Counts(0, 6), outside=Counts(1))
    assert process.wait(90) is not None
    run = site.run(ids)
    nodes = {node["name"]: node for node in run["executionData"]["nodes"].values()}
    assert verdicts(run) == {
        "step-holds": ("Completed", "Pass"),
        "step-breaks": ("Completed", "Pass"),
        "step-wrong": ("Completed_With_Probe_Failure", "Fail"),
        "step-rare": ("Completed_With_Probe_Failure", "N/A"),
    }, nodes
    assert (run["phase"], run["faultsPassed"], run["faultsFailed"], run["faultsNA"]) == (
        "Completed_With_Probe_Failure",
        2,
        1,
        1,
    )
    assert run["resiliencyScore"] == 50
    assert f"{LOAD}: expected that it breaks: ok" in nodes["step-wrong"]["message"]
    assert f"probe rare: not judged: {OUTSIDE}: not exercised" in nodes["step-rare"]["message"]
    assert nodes["step-rare"]["chaosData"]["probeSuccessPercentage"] == "0"
