"""Windows on order: shown with what they were for, kept with it, and never taken for the cluster as it is."""

from typing import Any

import pytest

from manager.history.edges.changes import Brought
from manager.store.agents import find_agent
from manager.store.maps.windows import newest_kept
from tests.manager import shop
from tests.manager.history.conftest import Kept

PURPOSE = {"run": "run-1", "kind": "fault"}
USUAL_ID, ORDERED_ID, LATER_ID = "2026-11-24T10:15:00Z", "2026-11-24T10:30:00Z", "2026-11-24T11:15:00Z"


def push(kept: Kept, hour: str, seconds: int, connections: list[Any], **window: Any) -> None:
    """Push what node-a saw in a window."""
    times = {"start": f"2026-11-24T{hour}:00Z", "end": f"2026-11-24T{hour}:{seconds:02d}Z"}
    body = shop.observed("node-a", connections, []) | {"window": times | window}
    answer = kept.running.push(body, f"c-{hour.replace(':', '-')}")
    assert answer.status_code == 201, answer.text


@pytest.fixture
def with_orders(kept: Kept) -> Kept:
    """A window of the schedule with three edges, then one on order in which only one of them was used."""
    kept.running.push(shop.inventory(), "i-1")
    push(kept, "10:15", 59, shop.NODE_A["connectionList"])
    push(kept, "10:30", 10, shop.NODE_A["connectionList"][:1], purpose=PURPOSE)
    return kept


def listed(kept: Kept) -> dict[str, Any]:
    """Purpose by window, of the list of windows."""
    return {one["id"]: one.get("purpose") for one in kept.running.get("/agents/lab/windows")["items"]}


@pytest.mark.parametrize("when", ["waiting", "kept"])
def test_ordered_window_says_what_it_was_for(with_orders: Kept, when: str) -> None:
    """In the list of windows and on its map, before and after the map is kept; others have no such member."""
    if when == "kept":
        with_orders.history.keep_due()
    assert listed(with_orders) == {USUAL_ID: None, ORDERED_ID: PURPOSE}
    found = with_orders.running.get("/agents/lab/map", window=ORDERED_ID)
    assert found["window"]["purpose"] == PURPOSE
    assert "purpose" not in with_orders.running.get("/agents/lab/map", window=USUAL_ID)["window"]


def test_newest_window_is_one_of_the_schedule(with_orders: Kept) -> None:
    """Seconds of an experiment are not the cluster: whoever asks for `latest` gets the newest usual window."""
    assert with_orders.running.get("/agents/lab/map")["window"]["id"] == USUAL_ID
    push(with_orders, "11:15", 59, shop.NODE_A["connectionList"])
    assert with_orders.running.get("/agents/lab/map", window="latest")["window"]["id"] == LATER_ID
    assert with_orders.running.get("/agents/lab/map", window="previous")["window"]["id"] == USUAL_ID


def test_ordered_window_stands_for_the_cluster_where_there_is_no_other(kept: Kept) -> None:
    """Better than none."""
    push(kept, "10:30", 10, [], purpose=PURPOSE)
    assert kept.running.get("/agents/lab/map")["window"]["id"] == ORDERED_ID


def test_edges_that_an_experiment_does_not_use_are_not_gone(with_orders: Kept) -> None:
    """What is new and what is gone is told between windows of the schedule; an ordered one alerts nobody."""
    told: list[Brought] = []
    with_orders.history.on_window = told.append
    with_orders.history.keep_due()
    assert told == []
    agent = find_agent(with_orders.store, "lab")
    assert agent is not None
    newest = newest_kept(with_orders.store, agent.id)
    assert newest is not None
    assert newest.window_id == USUAL_ID
    assert with_orders.running.get("/agents/lab/changes")["window"] == USUAL_ID
    push(with_orders, "11:15", 59, shop.NODE_A["connectionList"])
    with_orders.history.keep_due()
    assert told == [Brought(0, told[0].failed, 0)]


@pytest.mark.parametrize(
    "purpose", [{"run": "run-1"}, {"run": "", "kind": "fault"}, {"run": "a", "kind": "A b"}, "fault"]
)
def test_purpose_of_another_shape_is_refused_by_name(kept: Kept, purpose: Any) -> None:
    """400 names the place in the body."""
    times = {"start": "2026-11-24T10:30:00Z", "end": "2026-11-24T10:30:10Z", "purpose": purpose}
    answer = kept.running.push(shop.observed("node-a", [], []) | {"window": times})
    assert answer.status_code == 400
    assert "/window/purpose" in answer.text
