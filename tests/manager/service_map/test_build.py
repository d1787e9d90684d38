"""manager/service_map/build.py: (inventory, what nodes saw) -> services, edges, recall."""

from typing import Any

import orjson
import pytest

from manager.schema.push_schema import ConnectionsBatch, read_batch
from manager.schema.records import accepted_in, connections_in
from manager.service_map.build import NodeReport, build_map
from manager.store.batches.object_summary import summarize_object
from podsonar.model import Window
from tests.manager.service_map.observed_shop import FACTS
from tests.manager.shop import LISTS, NODE_A, NODE_B, connection, observed, reference, taken

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
    assert cart["handshakeSeconds"] == {"sum": 0.001, "max": 0.0005}
    assert {one["id"]: one["nodes"] for one in found["services"]}["service/shop/cart"] == ["node-a", "node-b"]
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


def scanning(body: dict[str, Any], name: str, end: str) -> dict[str, Any]:
    """A body whose node knows some of what that pod did in sums only."""
    count = {"attempts": 97} if end == "source" else {"accepted": 97}
    sums = [{"pod": reference(name), "end": end, "ports": "1024-49151", **count}]
    return body | {"observation": body["observation"] | {"scan": sums}}


def test_accepted_from_a_pod_that_scans_is_not_comparable() -> None:
    """Its record may be among the sums: no recall is lost, the reason is named, and the sums are in the answer."""
    body = scanning(NODE_A, "load-1", "source")
    body["acceptedList"] = [*NODE_A["acceptedList"], taken("cart-1", "10.1.1.20", 8080, "10.1.2.40", 31)]
    found = build_map(WINDOW, FACTS, [report_of(body), report_of(NODE_B)])
    assert found["recall"]["notComparable"] == {"remote_is_a_node": 3, "remote_pod_scans": 31}
    assert found["recall"]["value"] == 1.0
    assert found["observation"]["node-a"]["scan"][0]["attempts"] == 97


def test_no_backend_is_named_for_a_client_that_scans() -> None:
    """What a listener accepted from it may be of connections that are in the sums."""
    found = build_map(WINDOW, FACTS, [report_of(scanning(NODE_A, "frontend-1", "source")), report_of(NODE_B)])
    cart = next(edge for edge in found["edges"] if edge["destination"] == "service/shop/cart")
    assert cart["backends"] == []
    assert cart["accepted"] is None or cart["inSums"]


@pytest.mark.parametrize("end", ["source", "destination"])
def test_ambiguous_address_stays_so_while_a_pod_scans(end: str) -> None:
    """Who else accepted there, or connected from there, may be in the sums."""
    dialled = connection("load-1", "10.1.2.40", "10.1.9.9", 8080, kind="Ambiguous", reason="two", n=5)
    node_b = observed("node-b", [dialled], [taken("db-1", "10.1.9.9", 8080, "10.1.2.40", 5)])
    plain = build_map(WINDOW, FACTS, [report_of(NODE_A), report_of(node_b)])
    with_scan = build_map(WINDOW, FACTS, [report_of(scanning(NODE_A, "cart-1", end)), report_of(node_b)])
    ends = [
        [edge["destination"] for edge in found["edges"] if edge["source"].endswith("load")]
        for found in (plain, with_scan)
    ]
    assert ends == [["service/shop/db"], ["unresolved/10.1.9.9"]]


def test_accepted_from_a_source_that_is_left_out_is_named_up_to_its_count() -> None:
    """7 connections of a proxy from the pod's address are not comparable; the other 4 count against the recall."""
    source = {"address": "10.1.1.10", "reason": "identity_conflict", "established": 7, "openedBefore": False}
    body = observed("node-a", [], [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 11)])
    body["observation"]["leftOutSources"] = [source]
    twin = observed("node-b", [], [])
    twin["observation"]["leftOutSources"] = [source]  # two nodes on one kernel see the same
    found = build_map(WINDOW, FACTS, [report_of(body), report_of(twin)])["recall"]
    assert found["notComparable"] == {"remote_identity_conflict": 7}
    assert (found["accepted"], found["explained"]) == (4, 0)


def labelled(item: dict[str, Any], **labels: str) -> dict[str, Any]:
    """The object with those labels beside its own."""
    metadata = item["metadata"]
    return {**item, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels}}}


def test_labels_of_a_service_are_its_own_and_those_that_all_its_pods_share() -> None:
    """What one pod has alone, what tells revisions apart and what is no label are not there; the Service's own win."""
    revisions = {"pod-template-hash": "7d", "batch.kubernetes.io/job-completion-index": "0"}
    pods = [
        summarize_object("Pod", labelled(one, team="shop", zone=one["metadata"]["name"], **revisions))
        for one in LISTS["podList"]
    ]
    services = [summarize_object("Service", labelled(one, team="money", long="x" * 64)) for one in LISTS["serviceList"]]
    services[1]["labels"] = {}
    found = build_map(WINDOW, {**FACTS, "Pod": pods, "Service": services}, [report_of(NODE_A), report_of(NODE_B)])
    assert {one["id"]: one["labels"] for one in found["services"]} == {
        "external/203.0.113.9": {},
        "service/shop/cart": {"app": "cart", "team": "shop"},
        "service/shop/db": {"app": "db", "team": "money", "zone": "db-1"},
        "service/shop/frontend": {"app": "frontend", "team": "money", "zone": "frontend-1"},
        "deployment/shop/load": {"app": "load", "team": "shop", "zone": "load-1"},
    }


def test_labels_are_bounded_and_older_summaries_have_none() -> None:
    """32 of a service, however many a pod has; a Service that was stored without labels is on the map."""
    many = {f"label-{place:03}": "x" for place in range(100)}
    pods = [summarize_object("Pod", labelled(one, **many)) for one in LISTS["podList"]]
    services = [{key: of for key, of in one.items() if key != "labels"} for one in FACTS["Service"]]
    found = build_map(WINDOW, {**FACTS, "Pod": pods, "Service": services}, [report_of(NODE_A)])
    assert {len(one["labels"]) for one in found["services"] if one["kind"] != "External"} == {32}
