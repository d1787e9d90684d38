"""manager/history/map_tables.py and map_json.py: a map as tables and back is the same JSON."""

import random
from typing import Any

import orjson
import pytest

from manager.history.map_json import edges_json, others_json, services_json
from manager.history.map_tables import MapTables, from_parquet, make_tables, of_namespace, to_parquet
from tests.browser.generated_map import generate_map

HOSTILE = ('"quoted"', "back\\slash", "line\nfeed", "\u2028", "=cmd|' /C calc'!A0", "<script>", "名前", "\x7f", "")


def whole(found: dict[str, Any], *, seed: int = 1) -> dict[str, Any]:
    """A generated map with every member that the real one has, and hostile names among the texts."""
    dice = random.Random(seed)  # noqa: S311 - a repeatable sequence is what is wanted
    for one in found["services"]:
        one["nodes"] = [f"node-{dice.randrange(9)}"] if dice.random() < 0.8 else []
        if dice.random() < 0.5:
            one["of a later version"] = {"any": dice.choice(HOSTILE)}
        one["labels"] = {"team": dice.choice(HOSTILE), "app.kubernetes.io/name": one["name"]}
    for edge in found["edges"]:
        edge["handshakeSeconds"] = {"sum": dice.randrange(10**6) / 10**6, "max": dice.randrange(1000) / 10**6}
        edge["sourcePods"] = [*edge["sourcePods"], dice.choice(HOSTILE)]
        edge["reasons"] = dice.sample(HOSTILE, dice.randrange(3))
        edge["accepted"] = dice.choice([None, 0, 2**53 - 1])
        edge["bothEnds"] = None if edge["accepted"] is None else edge["accepted"] > 0
        if dice.random() < 0.5:
            edge["volume"] = {"sentBytes": dice.randrange(10**9), "of a later version": [dice.choice(HOSTILE)]}
        if dice.random() < 0.1:
            edge["moreSourcePods"] = 7
    aggregated = {"connections": 3, "notJoined": 1, "acceptedNotJoined": 0}
    return found | {"aggregated": aggregated, "of a later version": {"any": 1}}


def as_json(tables: MapTables) -> dict[str, Any]:
    """The members of a map's JSON but its windows."""
    members = b'{"services":' + services_json(tables.services) + b',"edges":' + edges_json(tables)
    found: dict[str, Any] = orjson.loads(members + b"," + others_json(tables))
    return found | {"window": tables.document["window"]}


def through_files(tables: MapTables) -> MapTables:
    """The tables after they were Parquet."""
    return MapTables(*(from_parquet(to_parquet(one)) for one in tables[:4]), tables.document)


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """The map without some members."""
    return {name: member for name, member in found.items() if name not in names}


@pytest.mark.parametrize(("services", "edges", "namespaces"), [(1, 0, 1), (13, 22, 3), (200, 550, 40)])
def test_map_is_the_same_after_it_was_parquet(services: int, edges: int, namespaces: int) -> None:
    """Every member of every edge, vertex and node, whatever the names are."""
    found = whole(generate_map(services, edges, namespaces))
    assert as_json(through_files(make_tables(found))) == without(found, "windows")


def test_map_without_anything_has_empty_lists() -> None:
    """A manager that has nothing yet answers with the same members."""
    found = whole(generate_map(13, 22, 3)) | {"window": None, "services": [], "edges": [], "coverage": {}}
    found |= {"observation": {}, "recall": found["recall"] | {"nodes": {}}}
    assert as_json(through_files(make_tables(found))) == without(found, "windows")


def test_namespace_keeps_its_edges_and_their_far_ends() -> None:
    """As many as counted one by one."""
    found = whole(generate_map(200, 550, 40))
    tables = through_files(make_tables(found))
    inside = {one["id"] for one in found["services"] if one["namespace"] == "checkout"}
    edges = [edge for edge in found["edges"] if inside & {edge["source"], edge["destination"]}]
    ends = inside | {edge[end] for edge in edges for end in ("source", "destination")}
    shown = as_json(of_namespace(tables, "checkout"))
    assert inside
    assert shown["edges"] == edges
    assert shown["services"] == [one for one in found["services"] if one["id"] in ends]
    assert as_json(of_namespace(tables, "elsewhere"))["services"] == []


def test_details_that_are_not_kept_leave_the_counts() -> None:
    """Pods and handshakes are gone, nothing else."""
    found = whole(generate_map(13, 22, 3))
    shown = as_json(make_tables(found)._replace(details=None))
    assert {edge.get("handshakeSeconds") for edge in shown["edges"]} == {None}
    details = ("sourcePods", "backends", "handshakeSeconds", "moreSourcePods", "volume")
    assert [without(edge, *details) for edge in shown["edges"]] == [without(edge, *details) for edge in found["edges"]]
