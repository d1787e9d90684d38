"""A run in windows of its own: a real runner orders them at a real collector's port, and the map judges by them."""

import secrets
import threading
import time
from typing import Any

import pytest

from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.observed_shop import CART, USUAL, Counts, ObservedShop
from tests.chaos.runner.conftest import TENANT, Site, Workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, task, verdicts
from tests.chaos.runner.order_port import TOKEN, Collector, collector
from tests.chaos.runner.probes.test_edge_probe import edge_probe
from tests.manager.conftest import CLIENT

pytestmark = [pytest.mark.cluster, pytest.mark.long]

WINDOWS = {"seconds": 5, "baseline": 1, "recovery": 1}
NEVER = "0 0 1 1 *"


def observe(found: Collector, shop: ObservedShop, run: str, over: threading.Event) -> None:
    """Push what agents see in each window of a run: the edge to the cart is broken in those of the fault."""
    told: set[str] = set()
    while not over.wait(0.2):
        for window in found.orders.book.of_run(run).windows:
            if window.id not in told and window.purpose and time.time_ns() > window.end_ns:
                told.add(window.id)
                cart = Counts(0, 20) if window.purpose.kind == "fault" else USUAL
                shop.window(window.start_ns, WINDOWS["seconds"], cart=cart, purpose=window.purpose)


def start(site: Site, workload: Workload, found: Collector) -> tuple[dict[str, str], Any]:
    """Order a run of one step that wants windows, and start its runner."""
    probes = [edge_probe("breaks", CART, expect="breaks")]
    spec = {"windows": WINDOWS, "probes": probes, "hypothesis": {"breaks": [CART], "elsewhere": "ignored"}}
    one = task("only", site.namespace, workload.name, TOTAL_CHAOS_DURATION="15", CHAOS_INTERVAL="60")
    tasks = [one | {"probeRef": [{"probeID": "breaks", "mode": "EOT"}]}]
    ids = site.order(tasks, [["only"]], **spec)
    directory = {"PODSONAR_DIRECTORY_URL": found.url, "PODSONAR_DIRECTORY_TOKEN": TOKEN}
    return ids, site.start(ids, kubeconfig(site, tasks, **spec), **directory)


def test_run_is_judged_by_the_windows_that_it_ordered(site: Site, workload: Workload) -> None:
    """No window came before: probe and report have a baseline and a fault of the run's own, and both pass."""
    site.infra = f"shop-{secrets.token_hex(4)}"
    shop = ObservedShop(site.url, site.store, site.infra, time.time_ns() - 60 * NS_PER_SECOND)
    over = threading.Event()
    with collector(NEVER, now_ns=time.time_ns) as found:
        ids, process = start(site, workload, found)
        agents = threading.Thread(target=observe, args=(found, shop, ids["runID"], over))
        agents.start()
        assert process.wait(120) is not None
        over.set()
        agents.join()
    run = site.run(ids)
    assert verdicts(run) == {"only": ("Completed", "Pass")}, run["executionData"]["nodes"]
    path = f"{site.url}/v1/chaos/runs/{ids['runID']}/impact"
    impact = CLIENT.get(path, params=TENANT, headers={"X-API-Key": site.admin}).json()
    assert impact["report"]["verdict"] == "Pass", impact
    windows = {one.id: one.purpose.kind for one in found.orders.book.of_run(ids["runID"]).windows if one.purpose}
    used = [(one["kind"], windows[one["id"]]) for one in impact["windows"]]
    assert used[0] == ("baseline", "baseline")
    assert ("fault", "fault") in used


def test_run_whose_windows_nobody_observes_injects_nothing(site: Site, workload: Workload) -> None:
    """No agent waits for orders: N/A with the reason, and every pod is there as before."""
    before = {pod["metadata"]["uid"] for pod in workload.list_pods()}
    with collector(NEVER, now_ns=time.time_ns, listening=False) as found:
        ids, process = start(site, workload, found)
        assert process.wait(60) is not None
    run = site.run(ids)
    assert verdicts(run) == {"only": ("Completed_With_Probe_Failure", "N/A")}
    (message,) = [node["message"] for node in run["executionData"]["nodes"].values() if node["type"] == "K8sTask"]
    assert message.startswith("nothing was injected: no agent waits for ordered windows")
    assert (run["completed"], run["faultsNA"], run["resiliencyScore"]) == (True, 1, 0)
    assert {pod["metadata"]["uid"] for pod in workload.list_pods()} == before
