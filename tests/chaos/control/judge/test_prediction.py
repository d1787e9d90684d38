"""chaos/control/judge: (planned fault, observed windows) -> direct edges, exposed services, guards."""

from typing import Any

import msgspec
import pytest

from chaos.control.judge.guards import Budget, GuardInput, check_guards, governance
from chaos.control.judge.observed_edges import Observation, observe
from chaos.control.judge.prediction import PlannedFault, Prediction, predict
from chaos.guard_settings import GuardSettings
from podsonar.errors import InputError
from tests.chaos.control.judge.windows import BASELINE, edge, window_map

SEEN = observe([window_map(BASELINE)])


def planned(fault: str, target: dict[str, str], **members: Any) -> PlannedFault:
    """A fault of an experiment file."""
    return msgspec.convert({"fault": fault, "target": target} | members, PlannedFault)


def test_fault_on_a_service_touches_its_edges_and_exposes_its_callers() -> None:
    """In and out for network faults; callers by hops."""
    found = predict(planned("pod-network-partition", {"service": "shop/cart"}), SEEN)
    assert {key.text: str(effect) for key, effect in found.direct.items()} == {
        "shop/cart -> shop/db:5432": "breaks",
        "shop/frontend -> shop/cart:8080": "breaks",
    }
    assert found.exposed == {"shop/frontend": 1, "shop/load": 2}
    assert found.summary == "2 edges, 1 workloads, 2 of 5 services exposed, 0 unknown"


def test_share_of_the_pods_degrades_and_a_hog_touches_callers_only() -> None:
    """One of two pods: edges degrade; a processor hog breaks no connect of its own."""
    half = predict(planned("pod-delete", {"workload": "shop/cart"}, affectedPercentage=50), SEEN)
    assert set(half.direct.values()) == {"degrades"}
    hog = predict(planned("pod-cpu-hog", {"workload": "shop/cart"}), SEEN)
    assert [key.text for key in hog.direct] == ["shop/frontend -> shop/cart:8080"]


def test_latency_slows_and_breaks_nothing() -> None:
    """Both ways, whatever share of the pods is hit; of an edge that edge."""
    for percentage in (50, 100):
        pod = predict(planned("pod-network-latency", {"workload": "shop/cart"}, affectedPercentage=percentage), SEEN)
        assert {key.text: str(effect) for key, effect in pod.direct.items()} == {
            "shop/cart -> shop/db:5432": "slows",
            "shop/frontend -> shop/cart:8080": "slows",
        }
    found = predict(planned("edge-latency", {"edge": "shop/frontend -> shop/cart:8080"}), SEEN)
    assert {key.text: str(effect) for key, effect in found.direct.items()} == {
        "shop/frontend -> shop/cart:8080": "slows"
    }


def test_fault_on_an_edge_touches_that_edge() -> None:
    """Callers of its source are exposed."""
    found = predict(planned("edge-partition", {"edge": "shop/frontend -> shop/cart:8080"}), SEEN)
    assert [key.text for key in found.direct] == ["shop/frontend -> shop/cart:8080"]
    assert found.exposed == {"shop/load": 1}


def test_fault_on_an_edge_touches_that_of_another_service_with_the_same_pods() -> None:
    """Pods behind two Services are the source of two edges for the same connects; another port is another edge."""
    shown = window_map([*BASELINE, edge("frontend-v6", "cart", 9), edge("frontend-v6", "cart", 9, port=9090)])
    (own,) = (one for one in shown["services"] if one["name"] == "frontend")
    shown["services"].append(own | {"id": "service/shop/frontend-v6", "name": "frontend-v6"})
    found = predict(planned("edge-partition", {"edge": "shop/frontend -> shop/cart:8080"}), observe([shown]))
    assert [key.text for key in found.direct] == [
        "shop/frontend -> shop/cart:8080",
        "shop/frontend-v6 -> shop/cart:8080",
    ]
    assert found.exposed == {"shop/load": 1}


def test_unknown_is_said() -> None:
    """Nodes that were not observed whole and edges known in sums are unknowns."""
    seen = observe([window_map([*BASELINE, edge("load", "cart", 9, inSums=True)], lost=3)])
    found = predict(planned("pod-delete", {"service": "shop/cart"}), seen)
    assert any("node-b lost 3" in one for one in found.unknown)
    assert any("in sums only" in one for one in found.unknown)


@pytest.mark.parametrize(
    ("fault", "target", "expected"),
    [
        pytest.param("pod-explode", {"service": "shop/cart"}, "expected one of pod-delete", id="unknown fault"),
        pytest.param("pod-delete", {"service": "shop/nobody"}, "was not observed", id="unknown service"),
        pytest.param("pod-delete", {}, "expected one of service, workload, edge", id="no target"),
        pytest.param("edge-loss", {"edge": "a -> b"}, "was not observed", id="unknown edge"),
    ],
)
def test_wrong_target_is_named(fault: str, target: dict[str, str], expected: str) -> None:
    """Nothing is predicted of what nobody saw."""
    with pytest.raises(InputError) as error:
        predict(planned(fault, target), SEEN)
    assert expected in str(error.value)


def guards_of(
    fault: PlannedFault,
    maps: list[dict[str, Any]],
    seconds: int = 30,
    budgets: list[Budget] | None = None,
    **bounds: Any,
) -> dict[str, str]:
    """Rule -> result."""
    seen = observe(maps)
    settings = msgspec.convert(bounds, GuardSettings)
    results = check_guards(GuardInput(fault, seconds, predict(fault, seen), seen, settings, budgets))
    assert governance(results, 1, 2)["Phase"] == (
        "Failed" if any(one.result == "failed" for one in results) else "Passed"
    )
    return {one.rule: one.result for one in results}


DELETE = planned("pod-delete", {"service": "shop/cart"})


def test_every_guard_passes_on_a_plain_fault() -> None:
    """Nothing fails; what nobody read or set is skipped, never passed."""
    found = guards_of(DELETE, [window_map(BASELINE)])
    assert {rule for rule, result in found.items() if result == "failed"} == set()
    assert found["PodDisruptionBudget"] == found["exposed services"] == "skipped"


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        pytest.param("exposed services", {"maxExposedServices": 1}, id="exposed"),
        pytest.param("pods hit", {"maxPodsPercentage": 50}, id="share"),
        pytest.param("protected namespaces", {"protectedNamespaces": ["shop"]}, id="protected"),
        pytest.param("duration", {"seconds": 601}, id="too long"),
        pytest.param("both ends observed", {"maps": [window_map(BASELINE, lost=1)]}, id="lost"),
        pytest.param(
            "healthy baseline", {"maps": [window_map([*BASELINE, edge("load", "cart", 9, 0)])]}, id="not healthy"
        ),
        pytest.param("PodDisruptionBudget", {"budgets": [Budget("cart", 0)]}, id="budget"),
        pytest.param(
            "network fault is narrow",
            {"fault": planned("pod-network-loss", {"service": "shop/cart"})},
            id="all traffic",
        ),
    ],
)
def test_each_guard_refuses_once(rule: str, arguments: dict[str, Any]) -> None:
    """The one thing that is wrong fails the one rule."""
    given = {"fault": DELETE, "maps": [window_map(BASELINE)]} | arguments
    assert [name for name, result in guards_of(**given).items() if result == "failed"] == [rule]


def test_what_was_not_observed_passes_no_guard() -> None:
    """No window, or no edge that is touched: refused or skipped, never passed by absence."""
    nothing = Prediction([], {}, {}, [], 0, 100)
    one = GuardInput(DELETE, 30, nothing, Observation(), GuardSettings(), unresolved="target 'x' was not observed")
    found = {result.rule: (result.result, result.sentence) for result in check_guards(one)}
    assert found["target"] == ("failed", "target 'x' was not observed")
    assert found["both ends observed"][0] == "failed"
    assert found["healthy baseline"] == ("skipped", "no edge is touched")
