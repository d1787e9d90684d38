"""The 53 operations against a running manager: by their ids, with the path parameters of what is really there."""

import secrets
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx

from manager.schema.document import document, operations
from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from manager.store.tokens.token_format import Scope
from tests.manager.conftest import CLIENT, Running
from tests.manager.shop import NODE_A, NODE_B, inventory

TENANT = Tenant("acme", "default", "shop", "prod")
OPERATIONS = {one.id: one for one in operations()}
PAGE = {"page": "0", "limit": "10", "all": "false"}


def identifiers(tenant: Tenant) -> dict[str, str]:
    """The query parameters of a tenant."""
    return {f"{part}Identifier": value for part, value in tenant._asdict().items()}


def make_key(database: str, scope: Scope, tenant: Tenant = TENANT) -> str:
    """A person's new key."""
    with closing(Store(database)) as store:
        return create_token(store, scope, "someone", 1, secrets.token_bytes, tenant=tenant).text()


@dataclass
class Caller:
    """Calls operations of the document with the key of a tenant; `path` holds the path parameters."""

    url: str
    key: str
    tenant: Tenant = TENANT
    prefix: str = "/api/v1"
    path: dict[str, str] = field(default_factory=dict)

    def call(self, name: str, body: Any = None, **query: str) -> httpx.Response:
        """The answer to an operation; `query` is beside the tenant and the usual page, where the operation has them."""
        operation = OPERATIONS[name]
        given = identifiers(self.tenant) | PAGE | query
        known = {name: value for name, value in given.items() if name in operation.query or name in query}
        url = self.url + self.prefix + operation.path.format_map(self.path)
        headers = {"X-API-Key": self.key}
        if body is None:
            return CLIENT.request(operation.method, url, params=known, headers=headers)
        return CLIENT.request(operation.method, url, params=known, headers=headers, json=body)

    def good(self, name: str, body: Any = None, **query: str) -> Any:
        """The JSON of an operation that must answer with its document's status."""
        answer = self.call(name, body, **query)
        assert answer.status_code == success(name), (name, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        return answer.json()


def success(name: str) -> int:
    """The status of an operation's success in the document."""
    operation = OPERATIONS[name]
    responses = document()["paths"][f"/api/v1{operation.path}"][operation.method.lower()]["responses"]
    return int(next(code for code in responses if code.startswith("2")))


def schema_of(name: str) -> str:
    """The schema of an operation's successful answer."""
    operation = OPERATIONS[name]
    responses = document()["paths"][f"/api/v1{operation.path}"][operation.method.lower()]["responses"]
    reference: str = responses[str(success(name))]["content"]["application/json"]["schema"]["$ref"]
    return reference.removeprefix("#/components/schemas/")


def agent_request(identity: str, environment: str = TENANT.environment) -> dict[str, Any]:
    """`api.CreateAgentRequest`."""
    return {
        "environmentIdentifier": environment,
        "infraIdentifier": identity,
        "name": f"DA-{identity}",
        "config": {"data": {"enableNodeAgent": True, "collectionWindowInMin": 1, "cron": {"expression": "15 * * * *"}}},
    }


def push_shop(running: Running, token: str) -> None:
    """Push the shop's inventory and both nodes' connections as an agent."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        answer = running.push(body, f"b-{place}", Authorization=f"Token {token}")
        assert answer.status_code == 201, answer.text


def standing_shop(running: Running, tenant: Tenant = TENANT, identity: str = "shop-1") -> Caller:
    """A caller for an agent that was made by the API and has pushed the shop; all path parameters are known."""
    caller = Caller(running.url, make_key(running.database, "admin", tenant), tenant)
    caller.path = {"agentIdentity": identity, "networkMapIdentity": "checkout", "pod_uid": "uid-cart-1"}
    caller.good("createAgent", agent_request(identity, tenant.environment))
    push_shop(running, caller.good("getAgentToken")["token"])
    services = caller.good("listDiscoveredService", all="true")["items"]
    cart = next(one for one in services if one["name"] == "cart")
    (workload,) = cart["spec"]["kubernetes"]["workloads"]
    caller.path |= {"dsvc_id": cart["id"], "wl_uid": workload["identity"]["uid"]}
    return caller


def map_request(caller: Caller, identity: str, *names: str) -> dict[str, Any]:
    """`api.CreateNetworkMapRequest` of the discovered services of those names."""
    services = caller.good("listDiscoveredService", all="true")["items"]
    resources = [
        {"id": one["id"], "kind": "DiscoveredService", "name": one["name"]} for one in services if one["name"] in names
    ]
    return {"identity": identity, "name": f"map {identity}", "resources": resources}
