"""The declared applications: every planted weakness is there, and every call has somebody to answer it."""

import pytest

from lab.applications.behaviour import Behaviour, Call
from lab.applications.travel import TRAVEL
from lab.demo import shop
from lab.demo.traffic import SHOP_TRAFFIC


def calls_of(behaviour: Behaviour) -> list[Call]:
    """Every call, fallbacks too."""
    own = [one for calls in behaviour.serves.values() for one in calls]
    own += [one for roots in behaviour.begins.values() for root in roots for one in root.calls]
    return own + [one.fallback for one in own if one.fallback]


def test_travel_agency_has_each_weakness_among_at_least_twelve_services() -> None:
    """A hard dependency with a call behind it, a retry storm, a hidden fallback, a pool."""
    assert len(TRAVEL.application.services) >= 12
    calls = calls_of(TRAVEL)
    assert any(len(one) > 1 and one[0].required for one in TRAVEL.serves.values())
    assert max(one.tries for one in calls) >= 5
    fallbacks = [one.fallback.to for one in calls if one.fallback]
    assert fallbacks == ["archive"]
    assert [one.to for one in calls if one.to == "archive"] == ["archive"], "nobody calls it before its time"
    assert any(one.pooled for one in calls)


@pytest.mark.parametrize("behaviour", [TRAVEL, SHOP_TRAFFIC])
def test_every_call_has_a_workload_that_listens_on_its_port(behaviour: Behaviour) -> None:
    """But for the one outside the cluster and the shop's broken dependency, which refuses."""
    listening = {
        (service.name, service.port): service.port in workload.listen
        for service in behaviour.application.services
        for workload in behaviour.application.workloads
        if workload.name == service.workload
    }
    orders = [behaviour.call_order(one) for one in calls_of(behaviour)]
    deaf = {order["name"] for order in orders if not listening.get((order["name"], order["port"]))}
    assert deaf == (set() if behaviour is TRAVEL else {"ledger", shop.OUTSIDE})


def test_shop_under_way_exercises_exactly_the_declared_edges() -> None:
    """One root per edge; the refused one fails nobody's request, the held one stays open."""
    made = [
        (name, call.to, call.pooled) for name, roots in SHOP_TRAFFIC.begins.items() for r in roots for call in r.calls
    ]
    assert sorted(made) == sorted((edge.source, edge.name, edge.mode == "hold") for edge in shop.EDGES)
