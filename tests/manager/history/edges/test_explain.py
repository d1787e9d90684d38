"""…/explain: the records of an edge, who held its address meanwhile, and what it means that there is none."""

from pathlib import Path
from typing import Any

import pytest

from manager.history.edges.explain import Owner, ruled_out
from tests.manager.conftest import CLIENT
from tests.manager.history.conftest import Kept
from tests.manager.shop import LISTS, NODE_A, NODE_B, WINDOW, connection, inventory, observed, pod, taken


@pytest.fixture
def database(tmp_path: Path) -> str:
    """SQLite: what is asked has no SQL of its own kind."""
    return f"sqlite:///{tmp_path}/manager.db"


def explain(kept: Kept, source: str, destination: str, **query: str) -> dict[str, Any]:
    """The answer."""
    found: dict[str, Any] = kept.running.get("/agents/lab/explain", source=source, destination=destination, **query)
    return found


def push(kept: Kept, *bodies: dict[str, Any]) -> None:
    """Push, in this order."""
    for place, body in enumerate(bodies):
        assert kept.running.push(body, f"b-{place}").status_code == 201


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("shop/frontend", "shop/cart"),
        ("service/shop/frontend", "cart"),
        ("shop/frontend-1", "shop/cart-2"),
        ("10.1.1.10", "10.1.2.20"),
        ("uid-frontend-1", "service/shop/cart"),
    ],
)
def test_edge_is_explained_by_its_records(kept: Kept, source: str, destination: str) -> None:
    """By name, pod, address or UID: the record, whose cgroup it was, and who held the address from when to when."""
    push(kept, inventory(), NODE_A, NODE_B)
    found = explain(kept, source, destination)
    assert (found["verdict"], found["source"], found["destination"]) == (
        "seen",
        ["service/shop/frontend"],
        ["service/shop/cart"],
    )
    (edge,), (record,) = found["edges"], found["records"]
    assert (edge["attempts"], record["attempts"], record["node"]) == (23, 23, "node-a")
    assert record["sourcePod"] == {"uid": "uid-frontend-1", "namespace": "shop", "name": "frontend-1"}
    assert record["identity"].endswith("holds the pod UID uid-frontend-1")
    (address,) = found["addresses"]
    assert (address["address"], address["heldBy"]["uid"], address["others"]) == ("10.96.0.11", "uid-svc-cart", [])


def test_earlier_owner_of_the_address_is_ruled_out_by_its_time(kept: Kept) -> None:
    """A pod that had the address before the window and was gone by then."""
    old = pod("old-1", "10.1.2.30", "node-b", "old")
    before = {"start": "2026-11-24T09:15:00.000000Z", "end": "2026-11-24T09:16:00.000000Z"}
    lists = LISTS | {"podList": [*(one for one in LISTS["podList"] if one["metadata"]["name"] != "db-1"), old]}
    push(kept, inventory(lists, id="inv-0", sequence=0) | {"window": before}, inventory(), NODE_A, NODE_B)
    found = explain(kept, "shop/load", "shop/db")
    (address,) = found["addresses"]
    assert address["heldBy"]["name"] == "db-1"
    (other,) = address["others"]
    assert (other["name"], other["to"]) == ("old-1", WINDOW["start"])
    assert other["ruledOut"] == f"gone by {WINDOW['start']}, before the first connect"


@pytest.mark.parametrize(
    ("from_ns", "to_ns", "host", "text"),
    [
        (0, None, False, None),
        (0, 50, False, "gone by 1970-01-01T00:00:00.000000Z, before the first connect"),
        (0, 101, False, None),
        (300, None, False, "created 1970-01-01T00:00:00.000000Z, after the last connect"),
        (0, None, True, "it is on its node's network, the address is the node's"),
    ],
)
def test_owner_is_ruled_out_only_by_time_or_network(from_ns: int, to_ns: int | None, host: bool, text: str) -> None:
    """Between 100 and 200 ns."""
    assert ruled_out(Owner("Pod", "u", "n", "p", from_ns, to_ns, host), 100, 200) == text


def test_absent_edge_would_have_been_seen(kept: Kept) -> None:
    """Both nodes observed the whole window and lost nothing."""
    push(kept, inventory(), NODE_A, NODE_B)
    found = explain(kept, "shop/db", "shop/frontend")
    assert (found["verdict"], found["reasons"], found["edges"]) == ("not_seen_would_have_been", [], [])


def test_absent_edge_was_not_observed_and_why(kept: Kept) -> None:
    """Without a report of one of the nodes, and with losses on the other."""
    lossy = observed("node-a", NODE_A["connectionList"], [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 13)])
    lossy["observation"]["lost"] = {"map_full": 3}
    push(kept, inventory(), lossy)
    found = explain(kept, "shop/cart", "shop/frontend")
    assert found["verdict"] == "not_observed"
    assert found["reasons"] == ["node node-a lost 3 connects", "node node-b was not observed: no_report"]


def test_unresolved_address_is_explained(kept: Kept) -> None:
    """The directory's own word, and no owner."""
    record = connection("cart-1", "10.1.1.20", "10.1.9.9", 80, kind="Ambiguous", reason="two owners", n=1)
    push(kept, inventory(), observed("node-a", [record], []))
    found = explain(kept, "shop/cart", "10.1.9.9")
    assert found["records"][0]["destination"] == {"kind": "Ambiguous", "reason": "two owners"}
    assert [one["heldBy"] for one in found["addresses"]] == [None]


def test_name_that_nothing_has_is_not_found(kept: Kept) -> None:
    """With the end that it was."""
    push(kept, inventory(), NODE_A, NODE_B)
    url = f"{kept.running.url}/api/v1/agents/lab/explain"
    answer = CLIENT.get(
        url, params={"source": "shop/cart", "destination": "nobody"}, headers={"X-API-Key": kept.running.key}
    )
    assert (answer.status_code, answer.json()["message"].split(":")[0]) == (404, "destination")
