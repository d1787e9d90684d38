"""Network maps and application maps: what becomes of resources, connections and identities."""

import copy
from typing import Any

import pytest

from tests.manager.api.operations import Caller, map_request, standing_shop
from tests.manager.conftest import Running
from tests.manager.shop import LISTS, inventory

Ends = set[tuple[str, str]]


@pytest.fixture
def caller(running: Running) -> Caller:
    """A caller for an agent that has pushed the shop."""
    return standing_shop(running)


def names(items: list[dict[str, Any]]) -> set[str]:
    """The names of entities."""
    return {one["name"] for one in items}


def ends(found: dict[str, Any]) -> Ends:
    """The names at both ends of a map's connections."""
    return {(one["from"]["name"], one["to"]["name"]) for one in found["connections"]}


def forget_db(running: Running, caller: Caller) -> None:
    """Push an inventory of the shop without the Service `db` and its pod, as the agent."""
    lists = copy.deepcopy(LISTS)
    for kind in ("serviceList", "podList"):
        lists[kind] = [one for one in lists[kind] if not one["metadata"]["name"].startswith("db")]
    token = caller.good("getAgentToken")["token"]
    body = inventory(lists, id="inv-2", sequence=2)
    assert running.push(body, "without-db", Authorization=f"Token {token}").status_code == 201


def test_map_is_filled_with_the_newest_windows_connections_unless_some_are_sent(caller: Caller) -> None:
    """Between its resources alone, not `manual`; what is sent stays as it is."""
    made = caller.good("createNetworkMap", map_request(caller, "observed", "frontend", "cart", "load"))
    assert ends(made) == {("frontend", "cart"), ("load", "frontend")}
    assert {(one["port"], one["type"], one["manual"]) for one in made["connections"]} == {
        ("7000", "TCP", False),
        ("80", "TCP", False),
    }
    body = map_request(caller, "drawn", "frontend", "cart")
    first, second = body["resources"]
    drawn = {"from": second, "to": first, "port": "1", "type": "UDP", "manual": True, "params": {"a": "b"}}
    made = caller.good("createNetworkMap", body | {"connections": [drawn], "tags": ["t"], "description": "d"})
    (kept,) = made["connections"]
    assert {name: kept[name] for name in ("port", "type", "manual", "params")} == {
        name: drawn[name] for name in ("port", "type", "manual", "params")
    }
    assert (kept["from"]["id"], kept["to"]["id"]) == (second["id"], first["id"])
    assert (made["tags"], made["description"]) == (["t"], "d")
    assert (
        caller.good("createNetworkMap", map_request(caller, "none", "cart", "db") | {"connections": []})["connections"]
        == []
    )


def test_both_spellings_are_one_collection_with_one_identity_each(caller: Caller) -> None:
    """What one makes the other lists, refuses to make again, reads, and deletes."""
    made = caller.good("createNetworkMap", map_request(caller, "checkout", "cart"))
    assert [one["id"] for one in caller.good("listApplicationMap")["items"]] == [made["id"]]
    assert caller.call("createApplicationMap", map_request(caller, "checkout", "db")).status_code == 409
    assert names(caller.good("getApplicationMap")["resources"]) == {"cart"}
    assert names(caller.good("listDiscoveredServiceForApplicationMap")["items"]) == {"cart"}
    caller.good("deleteApplicationMap")
    assert caller.call("getNetworkMap").status_code == 404
    assert caller.call("deleteNetworkMap").status_code == 404
    assert caller.good("createApplicationMap", map_request(caller, "checkout", "db"))["id"] != made["id"]


def test_save_replaces_a_map_of_its_identity_or_makes_it(caller: Caller) -> None:
    """The same id, other resources."""
    made = caller.good("saveNetworkMap", map_request(caller, "checkout", "cart", "db"))
    saved = caller.good("saveApplicationMap", map_request(caller, "checkout", "cart", "frontend") | {"name": "new"})
    assert (saved["id"], saved["name"], names(saved["resources"])) == (made["id"], "new", {"cart", "frontend"})
    assert (ends(made), ends(saved)) == ({("cart", "db")}, {("frontend", "cart")})
    assert caller.good("listNetworkMap")["page"]["totalItems"] == 1


def test_update_replaces_resources_and_keeps_connections_whose_ends_stay(caller: Caller) -> None:
    """Unless connections are sent; a name stays."""
    made = caller.good("createNetworkMap", map_request(caller, "checkout", "frontend", "cart", "db"))
    assert ends(made) == {("frontend", "cart"), ("cart", "db")}
    fewer = {"resources": map_request(caller, "", "frontend", "cart")["resources"]}
    changed = caller.good("updateNetworkMap", fewer)
    assert (changed["name"], names(changed["resources"])) == (made["name"], {"frontend", "cart"})
    assert ends(changed) == {("frontend", "cart")}
    assert ends(caller.good("updateApplicationMap", fewer | {"connections": []})) == set()
    assert caller.good("getNetworkMap")["connections"] == []


def test_grouping_adds_what_matches_every_rule_to_what_was_sent(caller: Caller) -> None:
    """Stored in place of a map of that identity; a rule that nothing matches adds nothing."""
    first = caller.good("createNetworkMap", map_request(caller, "checkout", "load"))
    rules = {"namespace": {"name": "shop"}, "podLabel": {"key": "app", "value": "cart"}}
    grouped = caller.good("networkMapAutoGroup", map_request(caller, "checkout", "frontend") | {"rules": rules})
    assert (grouped["id"], grouped["rules"]) == (first["id"], rules)
    assert names(grouped["resources"]) == {"frontend", "cart"}
    assert ends(grouped) == {("frontend", "cart")}
    rules = {"namespace": {"name": "elsewhere"}, "podLabel": {"key": "app"}}
    grouped = caller.good("applicationMapAutoGroup", map_request(caller, "checkout", "db") | {"rules": rules})
    assert names(grouped["resources"]) == {"db"}
    assert names(caller.good("networkMapAutoGroup", map_request(caller, "checkout", "db"))["resources"]) == {"db"}


def test_services_that_are_gone_are_marked_and_taken_out_when_asked(running: Running, caller: Caller) -> None:
    """`removed` in each answer; removing the stale ones takes their connections, too."""
    caller.good("createNetworkMap", map_request(caller, "checkout", "frontend", "cart", "db"))
    forget_db(running, caller)
    for found in (caller.good("getNetworkMap"), caller.good("listNetworkMap")["items"][0]):
        assert {one["name"]: one["removed"] for one in found["resources"]} == {
            "frontend": False,
            "cart": False,
            "db": True,
        }
        assert {one["to"]["name"]: one["to"]["removed"] for one in found["connections"]} == {"cart": False, "db": True}
    assert names(caller.good("listDiscoveredServiceForANetworkMap")["items"]) == {"frontend", "cart"}
    cleaned = caller.good("removeStaleServicesFromApplicationMap", {})
    assert names(cleaned["resources"]) == {"frontend", "cart"}
    assert ends(cleaned) == {("frontend", "cart")}
    assert caller.good("removeStaleServicesFromApplicationMap", {})["resources"] == cleaned["resources"]
