"""Guards that need the API server, right before an injection: budgets, labels, namespaces, the share of the pods."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaos.runner.faults.context import FaultError
from chaos.runner.faults.guarded_targets import check_targets, selector_text
from chaos.runner.targets import TargetPod
from cluster_api.objects import Objects
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.observed_shop import ObservedShop
from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, task, verdicts

MERGE = {"Content-Type": "application/merge-patch+json"}
BUDGET = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}


@pytest.fixture
def cart(site: Site) -> Iterator[Workload]:
    """Two pods of a Deployment that the map knows, too."""
    site.infra = f"shop-{secrets.token_hex(4)}"
    now_ns = time.time_ns()
    shop = ObservedShop(site.url, site.store, site.infra, now_ns - 60 * NS_PER_SECOND, site.namespace)
    shop.window(now_ns - 40 * NS_PER_SECOND, 20)
    made = Workload(site.plane, site.namespace, "cart", 2)
    site.wait(lambda: len(made.list_pods()) == 2)
    yield made
    made.end()


def allow(site: Site, disruptions: int) -> None:
    """Be the disruption controller."""
    path = f"/apis/policy/v1/namespaces/{site.namespace}/poddisruptionbudgets/keep/status"
    counts = {"currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}
    site.plane.objects.request(
        "PATCH", path, json={"status": counts | {"disruptionsAllowed": disruptions}}, headers=MERGE
    )


def run_once(site: Site, guards: dict[str, Any] | None, *, reads_budgets: bool = True) -> tuple[str, str, str]:
    """Phase, error code and message of a step that deletes a pod."""
    spec = {} if guards is None else {"guards": guards}
    tasks = [task("only", site.namespace, "cart", TOTAL_CHAOS_DURATION="1")]
    ids = site.order(tasks, [["only"]], **spec)
    assert "refused" not in ids
    process = site.start(ids, kubeconfig(site, tasks, **(spec if reads_budgets else {})))
    assert process.wait(60) is not None
    run = site.run(ids)
    node = run["executionData"]["nodes"][f"{run['experimentName']}-only"]
    return verdicts(run)["only"][0], node["chaosData"]["errorCode"], node["message"]


@pytest.mark.cluster
@pytest.mark.long
def test_guards_refuse_before_anything_is_deleted(site: Site, cart: Workload) -> None:
    """A budget that cannot be read, one that was not evaluated, one that is spent, a label; then one that allows it."""
    before = {pod["metadata"]["uid"] for pod in cart.list_pods()}
    metadata = {"name": "keep", "namespace": site.namespace}
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["cart", "other"]}]}
    site.plane.apply([BUDGET | {"metadata": metadata, "spec": {"minAvailable": 1, "selector": selector}}])
    phase, code, text = run_once(site, {}, reads_budgets=False)
    assert (phase, code) == ("Error", "E3014: GUARD_REFUSED")
    assert "PodDisruptionBudget: not read, expected the right to list them" in text
    refused = (
        f"guard PodDisruptionBudget: {site.namespace}/keep allows 0 disruptions, at least 1 expected; not injected"
    )
    assert run_once(site, {}) == ("Error", "E3014: GUARD_REFUSED", refused)
    allow(site, 0)
    assert run_once(site, {}) == ("Error", "E3014: GUARD_REFUSED", refused)
    allow(site, 1)
    for pod in cart.list_pods():
        path = f"/api/v1/namespaces/{site.namespace}/pods/{pod['metadata']['name']}"
        labels = {"metadata": {"labels": {"podsonar.io/chaos": "never"}}}
        site.plane.objects.request("PATCH", path, json=labels, headers=MERGE)
    phase, code, text = run_once(site, None)
    assert (phase, code) == ("Error", "E3014: GUARD_REFUSED")
    assert "has podsonar.io/chaos=never, expected pods without it" in text
    assert {pod["metadata"]["uid"] for pod in cart.list_pods()} == before
    assert run_once(site, {"protectedLabels": []})[0] == "Completed"
    assert len({pod["metadata"]["uid"] for pod in cart.list_pods()} - before) == 1


@pytest.mark.parametrize(
    ("guards", "chosen", "expected"),
    [
        pytest.param(None, [("kube-system", "a")], "protected namespaces: pod kube-system/a, expected", id="namespace"),
        pytest.param({"protectedNamespaces": ["shop"]}, [("shop", "a")], "expected a target outside shop", id="own"),
        pytest.param({"protectedLabels": ["tier=gold"]}, [("shop", "a")], "has tier=gold", id="label"),
        pytest.param(
            {"maxPodsPercentage": 50}, [("shop", "a"), ("shop", "b")], "2 of 3 pods, at most 50 %", id="share"
        ),
    ],
)
def test_guard_names_what_it_found(guards: dict[str, Any] | None, chosen: list[tuple[str, str]], expected: str) -> None:
    """Before the API server is asked; pods that no guard is about pass."""
    pods = [TargetPod(*name, name[1], "node-a", "o", (("tier", "gold"),)) for name in chosen]
    nobody: Any = None
    objects = Objects(nobody)
    with pytest.raises(FaultError, match=expected) as refused:
        check_targets(objects, guards, pods, [*pods, TargetPod("shop", "c", "c", "node-a", "o")])
    assert refused.value.code == "E3014: GUARD_REFUSED"
    check_targets(objects, None, [TargetPod("shop", "c", "c", "node-a", "o")], pods)


def test_selector_is_put_as_the_api_wants_it() -> None:
    """Labels and every operator."""
    operators = ("In", ["a", "b"]), ("NotIn", ["c"]), ("Exists", []), ("DoesNotExist", [])
    expressions = [{"key": f"k{n}", "operator": one, "values": values} for n, (one, values) in enumerate(operators)]
    text = selector_text({"matchLabels": {"app": "cart"}, "matchExpressions": expressions})
    assert text == "app=cart,k0 in (a,b),k1 notin (c),k2,!k3"
