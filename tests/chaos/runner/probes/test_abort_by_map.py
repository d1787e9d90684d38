"""An edge outside the prediction breaks while a fault is held: the manager sees it in the windows and ends the run."""

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.observed_shop import CART, LOAD, USUAL, Counts, ObservedShop
from tests.chaos.runner.conftest import Site
from tests.chaos.runner.faults.test_injectors import ManagedWorkload, own_deployment
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, verdicts
from tests.chaos.runner.kubelet import Kubelet
from tests.chaos.runner.order_port import TOKEN, Collector, collector

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.long]

RELEASED_SECONDS = 30
BROKEN = Counts(0, 10)
NEVER = "0 0 1 1 *"
WINDOWS = {"seconds": 5, "baseline": 1, "recovery": 0}


@pytest.fixture
def shop(site: Site) -> ObservedShop:
    """What agents push of the site's own infrastructure."""
    site.infra = f"shop-{secrets.token_hex(4)}"
    return ObservedShop(site.url, site.store, site.infra, time.time_ns() - 60 * NS_PER_SECOND, site.namespace)


@pytest.fixture
def cart(site: Site, kubelet: Kubelet) -> Iterator[ManagedWorkload]:
    """The target: two pods that run."""
    own_deployment(site)
    made = ManagedWorkload(site.plane, site.namespace, "cart", 2)
    try:
        site.wait(lambda: sum(one.get("status", {}).get("phase") == "Running" for one in made.list_pods()) == 2)
        yield made
    finally:
        made.end()


def hog(site: Site) -> list[dict[str, Any]]:
    """A task that holds a hog on one of its pods for ten minutes."""
    env = [{"name": "TOTAL_CHAOS_DURATION", "value": "600"}, {"name": "CPU_LOAD", "value": "5"}]
    workloads = [{"kind": "deployment", "namespace": site.namespace, "names": "cart"}]
    chaos = {"experiment": "pod-cpu-hog", "env": env}
    return [{"name": "only", "definition": {"targets": {"selectors": {"workloads": workloads}}, "chaos": chaos}}]


def stopped_message(site: Site, ids: dict[str, str]) -> str:
    """What the step of a run that was stopped says."""
    run = site.run(ids)
    assert (run["phase"], run["completed"], verdicts(run)) == ("Stopped", True, {"only": ("Stopped", "Stopped")})
    message: str = run["executionData"]["nodes"][f"{run['experimentName']}-only"]["message"]
    return message


def of_site(site: Site, edge: str) -> str:
    """An edge of the shop in the site's namespace."""
    return edge.replace("shop/", f"{site.namespace}/")


@pytest.mark.usefixtures("cart")
def test_edge_outside_ends_the_run(site: Site, shop: ObservedShop, kubelet: Kubelet, report_url: str) -> None:
    """What was predicted may break; the other edge ends it, by the connecting end alone, and is named in the step."""
    shop.window(time.time_ns() - 40 * NS_PER_SECOND, 20)
    tasks = hog(site)
    ids = site.order(tasks, [["only"]], hypothesis={}, guards={})
    process = site.start(ids, kubeconfig(site, tasks, guards={}), DDCR_ENDPOINT=report_url)
    site.wait(lambda: len(kubelet.hogs()) == 1)
    start_ns = time.time_ns()
    time.sleep(1)
    shop.window(start_ns, 1, cart=BROKEN)
    time.sleep(6)  # three looks of the manager
    assert (len(kubelet.hogs()), verdicts(site.run(ids))["only"][0]) == (1, "Running")
    shop.window(start_ns + NS_PER_SECOND, 5, load=BROKEN, nodes="b")
    broken = time.monotonic()
    site.wait(lambda: not kubelet.hogs(), RELEASED_SECONDS)
    assert time.monotonic() - broken < RELEASED_SECONDS
    assert process.wait(30) is not None
    message = stopped_message(site, ids)
    named = f"edge outside the prediction: {of_site(site, LOAD)}: broken: 0 of 10 attempts established in window"
    assert named in message
    assert of_site(site, CART) not in message
    assert "released by G2" in message
    site.wait(lambda: not kubelet.pods_left())


def push_ordered(found: Collector, shop: ObservedShop, run: str, kubelet: Kubelet, over: threading.Event) -> None:
    """Push what agents see in each window of a run: every edge holds, until the first that begins with the fault in."""
    told: set[str] = set()
    cut_ns = 0
    while not over.wait(0.2):
        cut_ns = cut_ns or (time.time_ns() if kubelet.hogs() else 0)
        for window in found.orders.book.of_run(run).windows:
            if window.id not in told and time.time_ns() > window.end_ns:
                told.add(window.id)
                load = BROKEN if cut_ns and window.start_ns > cut_ns else USUAL
                shop.window(window.start_ns, WINDOWS["seconds"], load=load, purpose=window.purpose)


@pytest.mark.usefixtures("cart")
def test_edge_outside_is_compared_with_the_baseline_that_was_ordered(
    site: Site, shop: ObservedShop, kubelet: Kubelet, report_url: str
) -> None:
    """It was broken in the schedule's last window, held in the run's own baseline, and breaks: the run ends."""
    shop.window(time.time_ns() - 40 * NS_PER_SECOND, 20, load=BROKEN)
    tasks, spec = hog(site), {"windows": WINDOWS, "hypothesis": {}}
    over = threading.Event()
    with collector(NEVER, now_ns=time.time_ns) as found:
        ids = site.order(tasks, [["only"]], **spec)
        directory = {"PODSONAR_DIRECTORY_URL": found.url, "PODSONAR_DIRECTORY_TOKEN": TOKEN}
        process = site.start(ids, kubeconfig(site, tasks, **spec), DDCR_ENDPOINT=report_url, **directory)
        agents = threading.Thread(target=push_ordered, args=(found, shop, ids["runID"], kubelet, over))
        agents.start()
        try:
            site.wait(lambda: len(kubelet.hogs()) == 1)
            site.wait(lambda: not kubelet.hogs(), RELEASED_SECONDS)
            assert process.wait(30) is not None
        finally:
            over.set()
            agents.join()
    message = stopped_message(site, ids)
    assert f"edge outside the prediction: {of_site(site, LOAD)}: broken: 0 of 10 attempts established" in message
    assert "released by G2" in message
    site.wait(lambda: not kubelet.pods_left())
