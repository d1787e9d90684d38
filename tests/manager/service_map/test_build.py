"""manager/service_map/build.py: (inventory, what nodes saw) -> services, edges, recall."""

from typing import Any

import orjson
import pytest

from manager.schema.push_schema import ConnectionsBatch, read_batch
from manager.schema.records import accepted_in, connections_in
from manager.service_map.build import NodeReport, build_map
from podsonar.model import Window
from tests.manager.service_map.test_join import FACTS
from tests.manager.shop import NODE_A, NODE_B, connection, observed, taken

WINDOW = Window(1_763_979_300_000_000_000, 1_763_979_360_000_000_000)


def report_of(body: dict[str, Any]) -> NodeReport:
    """A pushed body as the map takes it."""
    batch = read_batch(orjson.dumps(body))
    assert isinstance(batch, ConnectionsBatch)
    sides = connections_in(batch.connections.blocks), accepted_in(batch.accepted.blocks)
    return NodeReport(batch.node_name, batch.observation, *sides)


def edges_of(found: dict[str, Any]) -> list[tuple[str, str, str, int, int]]:
    """Edges as short rows."""
    names = ("source", "destination", "port", "established", "failed")
    return [tuple(edge[name] for name in names) for edge in found["edges"]]  # type: ignore[misc]


def test_shop_has_its_services_edges_and_recall() -> None:
    """Services hold their pods, a workload without Service stands alone, both ends agree, probes are named."""
    found = build_map(WINDOW, FACTS, [report_of(NODE_A), report_of(NODE_B)])
    assert edges_of(found) == [
        ("deployment/shop/load", "service/shop/db", "9999", 0, 7),
        ("deployment/shop/load", "service/shop/frontend", "80", 11, 0),
        ("service/shop/cart", "external/203.0.113.9", "443", 2, 0),
        ("service/shop/cart", "service/shop/db", "5432", 5, 0),
        ("service/shop/frontend", "service/shop/cart", "7000", 23, 0),
    ]
    assert {one["id"]: one["pods"] for one in found["services"]} == {
        "external/203.0.113.9": 0,
        "service/shop/cart": 2,
        "service/shop/db": 1,
        "service/shop/frontend": 1,
        "deployment/shop/load": 1,
    }
    cart = found["edges"][4]
    assert cart["backends"] == [{"pod": "shop/cart-1", "accepted": 13}, {"pod": "shop/cart-2", "accepted": 10}]
    assert (cart["accepted"], cart["bothEnds"], cart["sourcePods"]) == (23, True, ["shop/frontend-1"])
    refused = found["edges"][0]
    assert (refused["lastErrno"], refused["accepted"], refused["bothEnds"]) == (111, 0, False)
    assert found["edges"][2]["bothEnds"] is None
    recall = found["recall"]
    assert (recall["value"], recall["accepted"], recall["explained"]) == (1.0, 39, 39)
    assert recall["notComparable"] == {"remote_is_a_node": 3}
    assert set(found["observation"]) == {"node-a", "node-b"}


@pytest.mark.parametrize(
    ("record", "destination"),
    [
        (connection("cart-1", "10.1.1.20", "10.1.9.9", 80, kind="Ambiguous", reason="two", n=1), "unresolved/10.1.9.9"),
        (connection("cart-1", "10.1.1.20", "10.1.9.9", 80, kind="Unknown", n=1), "unresolved/10.1.9.9"),
        (connection("cart-1", "10.1.1.20", "192.0.2.2", 10250, kind="Node", n=1), "node/node-b"),
        (connection("cart-1", "10.1.1.20", "2001:db8::1", 443, n=1), "external/2001:db8::1"),
        (connection("cart-1", "10.1.1.20", "10.1.2.40", 80, pod="load-1", n=1), "deployment/shop/load"),
        (connection("cart-1", "10.1.1.20", "10.1.2.50", 80, pod="gone", n=1), "pod/shop/gone"),
        (connection("cart-1", "10.1.1.20", "10.96.0.99", 80, service="gone", n=1), "service/shop/gone"),
    ],
)  # fmt: skip
def test_destination_is_never_guessed(record: dict[str, Any], destination: str) -> None:
    """What is not certain is an address of kind Unresolved; what left the inventory keeps the name of its record."""
    found = build_map(WINDOW, FACTS, [report_of(observed("node-a", [record], []))])
    assert [edge["destination"] for edge in found["edges"]] == [destination]
    assert destination in {one["id"] for one in found["services"]}


def test_node_whose_tracer_is_none_did_not_observe() -> None:
    """Its pods' connections are not missed, and its accepting ends are neither confirmed nor denied."""
    blind = {**NODE_B, "observation": {"attempts": 0, "tracer": "none"}, "connectionList": [], "acceptedList": []}
    found = build_map(WINDOW, FACTS, [report_of(NODE_A), report_of(blind)])
    assert found["recall"]["notComparable"] == {"node_without_agent": 11}
    to_db = next(edge for edge in found["edges"] if edge["destination"] == "service/shop/db")
    assert (to_db["accepted"], to_db["bothEnds"]) == (None, None)


def test_namespace_keeps_edges_that_touch_it() -> None:
    """A namespace's map has its services, and the far ends of their edges."""
    found = build_map(WINDOW, FACTS, [report_of(NODE_A), report_of(NODE_B)], namespace="elsewhere")
    assert (found["services"], found["edges"]) == ([], [])
    inside = build_map(WINDOW, FACTS, [report_of(NODE_A), report_of(NODE_B)], namespace="shop")
    assert len(inside["edges"]) == 5


def test_pod_that_no_inventory_listed_has_the_name_that_its_node_gave() -> None:
    """A pod came and went between two inventories; the node that saw it accept still knows what it was called."""
    client = connection("cart-1", "10.1.1.20", "10.1.9.9", 8080, kind="Ambiguous", reason="several_owners", n=3)
    took = taken("brief", "10.1.9.9", 8080, "10.1.1.20", 3)
    found = build_map(WINDOW, FACTS, [report_of(observed("node-a", [client], [took]))])
    (edge,) = found["edges"]
    assert edge["destination"] == "pod/shop/brief"
    assert edge["backends"] == [{"pod": "shop/brief", "accepted": 3}]
