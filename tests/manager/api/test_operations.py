"""Every operation of the document answers a client that has nothing but the document."""

import sys

import pytest

from manager.schema.document import operations
from tests.manager.api.operations import TENANT, Caller, agent_request, map_request, schema_of, standing_shop
from tests.manager.api.response_schema import violations
from tests.manager.conftest import Running

PREFIXES = ("/api/v1", "/gateway/servicediscovery/api/v1")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_operation_answers_as_the_document_says(running: Running, prefix: str) -> None:
    """Each of them has its status, its media type and its schema, below both prefixes."""
    caller = standing_shop(running)
    caller.prefix = prefix
    bodies = {
        "createAgent": agent_request("another"),
        "updateAgent": {"name": "renamed", "config": agent_request("shop-1")["config"]},
        "createNetworkMap": map_request(caller, "checkout", "cart", "db"),
        "createApplicationMap": map_request(caller, "second", "cart", "frontend"),
        "saveNetworkMap": map_request(caller, "checkout", "cart", "db", "frontend"),
        "saveApplicationMap": map_request(caller, "checkout", "cart", "db"),
        "updateNetworkMap": {"resources": map_request(caller, "", "cart", "db")["resources"]},
        "updateApplicationMap": {"resources": map_request(caller, "", "cart", "db")["resources"]},
        "networkMapAutoGroup": map_request(caller, "grouped") | {"rules": {"namespace": {"name": "shop"}}},
        "applicationMapAutoGroup": map_request(caller, "grouped") | {"rules": {"podLabel": {"key": "app"}}},
        "removeStaleServicesFromApplicationMap": {},
        "createInstallation": {},
        "saveSetting": {"imageRegistry": {"server": "registry.example", "account": "acme", "secrets": ["pull"]}},
        "resetImageRegistrySetting": {},
    }
    last = ("stopOngoingDiscovery", "deleteNetworkMap", "saveApplicationMap", "deleteApplicationMap", "deleteAgent")
    names = [one.id for one in operations() if one.id not in last]
    first = [name for name in names if name.startswith("create")]
    answered = set()
    for name in (*first, *(name for name in names if name not in first), *last):
        answer = caller.good(name, bodies.get(name))
        if name == "createInstallation":
            caller.path["installationID"] = answer["id"]
        assert violations(answer, schema_of(name)) == [], name
        answered.add(name)
    sys.stdout.write(f"{len(answered)} of {len(operations())}\n")
    assert len(answered) == len(operations()) == 53
    assert caller.call("getAgent").status_code == 404


def test_stateful_sets_are_where_the_other_kinds_are(standing: Running) -> None:
    """The document spells their path `/nfras/…`; both answer the same."""
    there = standing.get("/agents/lab/statefulsets", correlationID="c")
    assert there == standing.get("/nfras/lab/statefulsets", correlationID="c")


def test_read_key_may_read_and_nothing_else(running: Running) -> None:
    """What changes something needs scope admin: 403; no key: 401 and how to ask."""
    caller = standing_shop(running)
    reader = Caller(running.url, running.key, TENANT, path=caller.path | {"installationID": "0" * 24})
    writes = {one.id for one in operations() if one.method != "GET"} | {"getAgentToken"}
    for one in operations():
        status = reader.call(one.id, {} if one.method in {"POST", "PUT"} else None).status_code
        assert (status == 403) is (one.id in writes), (one.id, status)
        nobody = Caller(running.url, "", TENANT, path=reader.path).call(one.id)
        assert nobody.status_code == 401
        assert nobody.headers["www-authenticate"] == "Bearer"
