"""An edge outside the prediction breaks while a fault is held: the manager sees it in the windows and ends the run."""

import secrets
import time

import pytest

from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.observed_shop import CART, LOAD, Counts, ObservedShop
from tests.chaos.runner.conftest import Site
from tests.chaos.runner.kubelet import Kubelet
from tests.chaos.runner.test_injectors import ManagedWorkload, own_deployment
from tests.chaos.runner.test_pod_delete import kubeconfig, verdicts

RELEASED_SECONDS = 30
BROKEN = Counts(0, 10)


@pytest.mark.cluster
@pytest.mark.kernel
@pytest.mark.long
def test_edge_outside_ends_the_run(site: Site, kubelet: Kubelet, report_url: str) -> None:
    """What was predicted may break; the other edge ends it, by the connecting end alone, and is named in the step."""
    site.infra = f"shop-{secrets.token_hex(4)}"
    now_ns = time.time_ns()
    shop = ObservedShop(site.url, site.store, site.infra, now_ns - 60 * NS_PER_SECOND, site.namespace)
    shop.window(now_ns - 40 * NS_PER_SECOND, 20)
    own_deployment(site)
    cart = ManagedWorkload(site.plane, site.namespace, "cart", 2)
    try:
        site.wait(lambda: sum(one.get("status", {}).get("phase") == "Running" for one in cart.list_pods()) == 2)
        env = [{"name": "TOTAL_CHAOS_DURATION", "value": "600"}, {"name": "CPU_LOAD", "value": "5"}]
        workloads = [{"kind": "deployment", "namespace": site.namespace, "names": "cart"}]
        definition = {
            "targets": {"selectors": {"workloads": workloads}},
            "chaos": {"experiment": "pod-cpu-hog", "env": env},
        }
        tasks = [{"name": "only", "definition": definition}]
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
    finally:
        cart.end()
    run = site.run(ids)
    assert (run["phase"], run["completed"], verdicts(run)) == ("Stopped", True, {"only": ("Stopped", "Stopped")})
    named = LOAD.replace("shop/", f"{site.namespace}/")
    message = run["executionData"]["nodes"][f"{run['experimentName']}-only"]["message"]
    assert f"edge outside the prediction: {named}: broken: 0 of 10 attempts established in window" in message
    assert CART.replace("shop/", f"{site.namespace}/") not in message
    assert "released by G2" in message
    site.wait(lambda: not kubelet.pods_left())
