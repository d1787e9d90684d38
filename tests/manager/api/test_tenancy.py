"""Two tenants with equal names everywhere: each sees its own, whatever is asked, and never a trace of the other's.

Every request of the document with ids of both tenants, in any mixture, by keys of every part of the tree.
"""

import os
import random
from typing import Any

import orjson
import pytest

from manager.schema.document import operations
from manager.store.tenancy import Tenant
from tests.manager.api.operations import (
    PAGE,
    Caller,
    identifiers,
    make_key,
    map_request,
    standing_shop,
)
from tests.manager.conftest import CLIENT, Running

REQUESTS = int(os.environ.get("PODSONAR_TENANCY_REQUESTS", "700"))
TENANTS = {
    "red": Tenant("acme", "eu", "shop", "prod"),
    "blue": Tenant("other", "eu", "shop", "prod"),
    "green": Tenant("acme", "us", "shop", "prod"),
    "grey": Tenant("acme", "eu", "shop", "test"),
}
# Parts of the tree that keys are made for, beside the tenants themselves.
BRANCHES = (Tenant("acme"), Tenant("acme", "eu"), Tenant("other"), Tenant("", "", "", ""))
LAST = {"deleteAgent"}


def marked_body(mark: str) -> dict[str, Any]:
    """A body that fits any operation of maps and agents, with the tenant's mark in every text."""
    return {
        "identity": "checkout",
        "name": f"mark-{mark}",
        "description": f"mark-{mark}",
        "resources": [],
        "tags": [f"mark-{mark}"],
        "config": {"data": {"namespaceSelector": f"mark={mark}"}},
        "environmentIdentifier": "prod",
        "infraIdentifier": "shop-1",
        "imageRegistry": {"server": f"mark-{mark}", "account": "a", "secrets": []},
    }


def mark_of(tenant: Tenant) -> str:
    """The mark of a tenant."""
    return next(mark for mark, one in TENANTS.items() if one == tenant)


def make_tenants(running: Running) -> dict[str, Caller]:
    """The tenants, each with the same agent, objects, connections and maps by name."""
    callers = {}
    for mark, tenant in TENANTS.items():
        caller = callers[mark] = standing_shop(running, tenant)
        caller.good("updateAgent", marked_body(mark))
        body = map_request(caller, "checkout", "cart", "db") | {"name": f"mark-{mark}", "tags": [f"mark-{mark}"]}
        caller.good("createNetworkMap", body)
        if tenant.environment == "prod":  # settings are a project's, whose environments share them
            caller.good("saveSetting", marked_body(mark))
        caller.path["installationID"] = caller.good("listInstallation")["items"][0]["id"]
    return callers


def traces(mark: str, caller: Caller) -> list[str]:
    """What only an answer about the tenant may hold: its marks and the ids of its rows."""
    ids = [caller.path["installationID"], caller.path["dsvc_id"], caller.good("getAgent")["id"]]
    return [f"mark-{mark}", f"mark={mark}", *ids]


def strangers(answer: bytes, asked: Tenant, traces_of: dict[str, list[str]]) -> list[str]:
    """Traces of other tenants in an answer, and identifiers that are not of the tenant that was asked about."""
    own = set(traces_of[mark_of(asked)]) if asked in TENANTS.values() else set()
    shared = {f"mark-{mark}" for mark, one in TENANTS.items() if one[:3] == asked[:3]}
    text = answer.decode()
    found = [one for trace in traces_of.values() for one in trace if one not in own | shared and one in text]
    wanted = identifiers(asked)

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(f"{name}={value[name]}" for name in wanted if value.get(name, wanted[name]) != wanted[name])
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    look(orjson.loads(answer))
    return found


@pytest.mark.long
def test_no_request_shows_another_tenants_rows(standing: Running) -> None:
    """Random operations with random ids, tenants and keys: an answer holds traces of the asked tenant alone."""
    callers = make_tenants(standing)
    before = {mark: state_of(caller) for mark, caller in callers.items()}
    traces_of = {mark: traces(mark, caller) for mark, caller in callers.items()}
    reach = {*TENANTS.values(), *BRANCHES}
    keys = {(part, scope): make_key(standing.database, scope, part) for part in reach for scope in ("read", "admin")}
    choices = random.Random(20261129)  # noqa: S311 - no secret
    known = [one for one in operations() if one.id not in LAST]
    answered = 0
    for _ in range(REQUESTS):
        operation = choices.choice(known)
        part, scope = choices.choice(sorted(keys))
        asked = choices.choice(sorted(TENANTS.values()))
        if choices.random() < 0.2:
            asked = asked._replace(**{choices.choice(Tenant._fields): choices.choice(["", "acme", "other", "us"])})
        path = {name: choices.choice(sorted(callers.items()))[1].path[name] for name in callers["red"].path}
        query = {name: text for name, text in (identifiers(asked) | PAGE).items() if name in operation.query}
        # A stranger writes only what is the asked tenant's already: what it changes is compared at the end.
        mark = mark_of(asked) if asked in TENANTS.values() else "nobody"
        body = marked_body(mark) if operation.method != "GET" else None
        if operation.id == "createAgent":
            body = {**(body or {}), "environmentIdentifier": asked.environment or "prod"}
        url = f"{standing.url}/api/v1{operation.path.format_map(path)}"
        headers = {"X-API-Key": keys[part, scope]}
        answer = CLIENT.request(operation.method, url, params=query, headers=headers, json=body)
        told = asked if "environmentIdentifier" in operation.query else asked._replace(environment="")
        told = told._replace(environment=told.environment or part.environment)  # a key's own need not be named
        if not part._replace(environment="").includes(told):
            assert answer.status_code in {400, 403, 404}, (operation.id, part, asked)
        assert answer.status_code < 500, (operation.id, answer.text)
        if answer.status_code < 300:
            answered += 1
            if "environmentIdentifier" not in operation.query and operation.id == "createAgent":
                told = asked._replace(environment=(body or {})["environmentIdentifier"])
            about_project = "environmentIdentifier" not in operation.query and operation.id != "createAgent"
            assert strangers(answer.content, asked if about_project else told, traces_of) == []
    for (part, _), key in keys.items():
        delete_as_stranger(part, key, callers)
    assert answered > REQUESTS // 20
    for mark, caller in callers.items():
        assert state_of(caller) == before[mark], mark


def delete_as_stranger(part: Tenant, key: str, callers: dict[str, Caller]) -> None:
    """Try to delete the agents that the key does not reach: each is refused."""
    for caller in callers.values():
        if not part.includes(caller.tenant):
            stranger = Caller(caller.url, key, caller.tenant, path=caller.path)
            assert stranger.call("deleteAgent").status_code in {403, 404}, (part, caller.tenant)


def state_of(caller: Caller) -> Any:
    """What nobody of another tenant may change, and the tenant's own requests do not: agent, discovered services."""
    agent = caller.good("getAgent")
    services = [one["id"] for one in caller.good("listDiscoveredService", all="true")["items"]]
    return agent["id"], agent["name"], agent["config"]["data"]["namespaceSelector"], services


def test_requests_must_name_the_tenant_of_their_key(standing: Running) -> None:
    """An account that is missing is 400, a foreign one 403, a foreign project 404; an unbound key may name any."""
    key = make_key(standing.database, "read", Tenant("acme", "eu"))
    asked = {
        Tenant(): 400,
        Tenant("acme", "eu"): 400,  # the document requires an environment
        Tenant("other", "eu", "", "prod"): 403,
        Tenant("acme", "us", "", "prod"): 404,
        Tenant("acme", "", "", "prod"): 404,
        Tenant("acme", "eu", "p", "prod"): 200,
    }
    for tenant, status in asked.items():
        given = {name: text for name, text in (identifiers(tenant) | PAGE).items() if text}
        answer = CLIENT.get(f"{standing.url}/api/v1/agents", params=given, headers={"X-API-Key": key})
        assert answer.status_code == status, (tenant, answer.text)
        assert CLIENT.get(answer.request.url, headers={"X-API-Key": standing.key}).status_code == 200
