"""…/graph: the fields that Grafana's node graph panel reads."""

import re
from pathlib import Path

import orjson
import pytest

from manager.api.history.graph import MAX_NODES, graph_edges, graph_nodes
from tests.manager.history.conftest import Kept
from tests.manager.history.many_windows import observed_map
from tests.manager.shop import NODE_A, NODE_B, inventory

SOME = observed_map(13, 22, 3)
DASHBOARD = Path(__file__).parents[3] / "deploy/charts/podsonar/dashboards/podsonar.json"


@pytest.fixture
def database(tmp_path: Path) -> str:
    """SQLite: nothing here has SQL of its own."""
    return f"sqlite:///{tmp_path}/manager.db"


def test_graph_has_the_shop_s_nodes_and_edges(kept: Kept) -> None:
    """Every edge joins two nodes; failing ones are red."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        assert kept.running.push(body, f"b-{place}").status_code == 201
    nodes = kept.running.get("/agents/lab/graph/nodes")
    edges = kept.running.get("/agents/lab/graph/edges")
    ids = {one["id"] for one in nodes}
    assert len(nodes) == 5
    assert {end for one in edges for end in (one["source"], one["target"])} <= ids
    assert [one["target"] for one in edges if one["color"] == "red"] == ["service/shop/db"]
    db = next(one for one in nodes if one["id"] == "service/shop/db")
    assert (db["mainstat"], db["secondarystat"], db["arc__failed"]) == ("12", "7 failed", 7 / 12)
    assert kept.running.get("/agents/lab/graph/nodes", namespace="elsewhere") == []


def test_dashboard_s_panel_asks_for_what_the_manager_answers(kept: Kept) -> None:
    """Each query of the node graph panel is answered, and each of its columns is in every row with its type."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        assert kept.running.push(body, f"b-{place}").status_code == 201
    document = orjson.loads(DASHBOARD.read_bytes())
    variables = {one["name"]: one for one in document["templating"]["list"]}
    (panel,) = (one for one in document["panels"] if one["type"] == "nodeGraph")
    assert [one["format"] for one in panel["targets"]] == ["node-graph-nodes", "node-graph-edges"]
    for target in panel["targets"]:
        source = target["datasource"]
        assert (source["uid"], variables["map"]["query"]) == ("${map}", source["type"])
        assert "cluster" in variables
        path = target["url"].removeprefix("/api/v1").replace("${cluster:percentencode}", "lab")
        rows = kept.running.get(path)
        assert rows
        columns = {one["selector"]: str if one["type"] == "string" else (int, float) for one in target["columns"]}
        assert all(set(row) == set(columns) for row in rows)
        assert all(isinstance(row[name], kind) for row in rows for name, kind in columns.items())


def test_fields_are_those_that_the_panel_looks_for() -> None:
    """`NodeGraphDataFrameFieldNames` of @grafana/data 13.2; the panel takes a frame with a `source` for the edges'."""
    nodes, edges = graph_nodes(SOME), graph_edges(SOME)
    names = {"id", "title", "subtitle", "mainstat", "secondarystat", "color", "source", "target", "icon", "thickness"}
    for row in (*nodes, *edges):
        assert {name for name in row if not name.startswith(("arc__", "detail__"))} <= names
    assert not any("source" in row for row in nodes)
    assert all({"id", "source", "target"} <= set(row) for row in edges)
    assert {sum(value for name, value in row.items() if name.startswith("arc__")) for row in nodes} == {1.0}


def test_counts_are_texts_since_the_panel_writes_numbers_with_two_decimals() -> None:
    """1,234,567 stays that; where nothing failed nothing is said."""
    services = [{"id": one, "name": one, "namespace": "shop", "kind": "Service", "pods": 1} for one in ("a", "b")]
    edge = {"source": "a", "destination": "b", "attempts": 1_234_567, "failed": 0}
    found = {"services": services, "edges": [edge]}
    assert [(one["mainstat"], one["secondarystat"]) for one in graph_nodes(found)] == [("0", ""), ("1,234,567", "")]
    assert [(one["mainstat"], one["secondarystat"]) for one in graph_edges(found)] == [("1,234,567", "")]
    edge["failed"] = 1000
    assert [one["secondarystat"] for one in graph_edges(found)] == ["1,000 failed"]


def test_id_of_an_edge_can_stand_in_a_url_and_stays_the_same() -> None:
    """The panel finds an edge's arrowhead by `url(#…id)`; each pair of nodes has one id in every window."""
    names = ["a b", "a", "b", "(a)", "'\")", "x>y", "x", "y>z"]
    services = [{"id": one, "name": one, "namespace": "", "kind": "Service", "pods": 1} for one in names]
    pairs = [(one, other) for one in names for other in names]
    edges = [{"source": one, "destination": other, "attempts": 1, "failed": 0} for one, other in pairs]
    ids = [one["id"] for one in graph_edges({"services": services, "edges": edges})]
    assert len(set(ids)) == len(pairs)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert [one["id"] for one in graph_edges({"services": services, "edges": edges[::-1]})] == ids[::-1]


def test_graph_of_many_services_has_as_many_as_the_panel_draws() -> None:
    """Those with the most traffic; no edge leads to one that is not there."""
    found = observed_map(2000, 20_000, 160)
    nodes, edges = graph_nodes(found), graph_edges(found)
    ids = {one["id"] for one in nodes}
    assert len(nodes) == MAX_NODES
    assert {end for one in edges for end in (one["source"], one["target"])} <= ids
