"""An agent's creation, compared with the published sample: field by field, nulls and order included."""

import secrets
from base64 import b64decode, urlsafe_b64decode
from typing import Any
from uuid import UUID

import anyio
import httpx
import orjson
from starlette.applications import Starlette
from starlette.routing import Route
from yaml import safe_load_all

from manager.api.endpoint import Api, endpoint
from manager.api.resources.agents import Agents
from manager.api.wire import person_id
from manager.http.request_bodies import RequestBodies
from manager.installations.agent_values import Source
from manager.installations.handout import agent_manifests
from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import authenticate, create_token
from tests.manager.api.operations import OPERATIONS, Caller, agent_request, identifiers, make_key
from tests.manager.conftest import Running

AGENT_NS, INSTALLATION_NS = 1746111833114000000, 1746111833273000000
RANDOM = (
    bytes(16),  # the agent's key in the database
    bytes.fromhex("35d08901c7c1cdea"),
    UUID("541174ea-5939-4ab1-86d1-dceca3c9843d").bytes,
    urlsafe_b64decode("ZH-h77C7TUO9Fag2jgE3cg=="),
)
TENANT = Tenant("nKGIuZPuTyub1HSTL3pnyA", "default", "test1", "demo")
REQUEST = {
    "environmentIdentifier": "demo",
    "infraIdentifier": "test3",
    "name": "DA-test3",
    "config": {
        "data": {
            "namespaceSelector": "",
            "enableNodeAgent": True,
            "cron": {"expression": "15 * * * *"},
            "collectionWindowInMin": 1,
            "nodeAgentSelector": "",
        },
        "kubernetes": {"namespace": "hce", "runAsUser": 2000, "runAsGroup": 2000, "serviceAccount": ""},
        "mtls": {},
        "proxy": {},
        "skipSecureVerify": False,
    },
}
ANSWER = b"""{
    "id": "68138d5935d08901c7c1cdea",
    "name": "DA-test3",
    "identity": "test3",
    "description": "Discovery agent for infrastructure identity test3",
    "tags": null,
    "accountIdentifier": "nKGIuZPuTyub1HSTL3pnyA",
    "organizationIdentifier": "default",
    "projectIdentifier": "test1",
    "environmentIdentifier": "demo",
    "config": {
        "skipSecureVerify": false,
        "kubernetes": {
            "disableNamespaceCreation": false,
            "namespaced": false,
            "namespace": "hce",
            "serviceAccount": "",
            "runAsUser": 2000,
            "runAsGroup": 2000,
            "imagePullPolicy": "",
            "nodeSelector": null,
            "tolerations": null,
            "resources": {"limits": {}, "requests": {}}
        },
        "data": {
            "enableNodeAgent": true,
            "nodeAgentSelector": "",
            "blacklistedNamespaces": null,
            "observedNamespaces": null,
            "namespaceSelector": "",
            "enableOrphanedPod": false,
            "enableBatchResources": false,
            "collectionWindowInMin": 1,
            "cron": {"expression": "15 * * * *"}
        },
        "collectorImage": "",
        "logWatcherImage": "",
        "imagePullSecrets": null
    },
    "permanentInstallation": false,
    "webhookURL": "",
    "installationType": "CONNECTOR",
    "createdAt": "2025-05-01T15:03:53.114Z",
    "updatedAt": "2025-05-01T15:03:53.114Z",
    "createdBy": "_jXTCj_0RUm3cWW7KQj2ig",
    "updatedBy": "_jXTCj_0RUm3cWW7KQj2ig",
    "removed": false,
    "installationDetails": {
        "id": "68138d5935d08901c7c1cdeb",
        "accountIdentifier": "nKGIuZPuTyub1HSTL3pnyA",
        "organizationIdentifier": "default",
        "projectIdentifier": "test1",
        "environmentIdentifier": "demo",
        "agentID": "68138d5935d08901c7c1cdea",
        "delegateTaskID": "ZH-h77C7TUO9Fag2jgE3cg-DEL",
        "delegateID": "",
        "delegateTaskStatus": "PROCESSED",
        "agentDetails": {"status": "PENDING"},
        "isCronTriggered": false,
        "logStreamID": "541174ea-5939-4ab1-86d1-dceca3c9843d",
        "logStreamCreatedAt": "2025-05-01T15:03:53.273Z",
        "stopped": false,
        "createdAt": "2025-05-01T15:03:53.273Z",
        "createdBy": "",
        "updatedBy": "",
        "removed": false
    },
    "correlationID": "3148e264ec6b4e438c53ad77699ee77c"
}"""


def post_agent(api: Api, body: dict[str, Any], query: dict[str, str], headers: dict[str, str]) -> httpx.Response:
    """The answer of the operation alone, with a clock and random bytes of the test."""
    handler = endpoint(api, Agents(api).create_agent, "admin", OPERATIONS["createAgent"])
    app = Starlette(routes=[Route("/api/v1/agents", handler, methods=["POST"])])

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://manager") as client:
            return await client.post("/api/v1/agents", params=query, headers=headers, json=body)

    return anyio.run(post)


def test_created_agent_is_answered_as_the_sample(store: Store) -> None:
    """With the sample's clock and random bytes the answer is the sample's, byte for byte but for white space."""
    token = create_token(store, "admin", "someone", 1, secrets.token_bytes)
    times, random = iter((0, AGENT_NS, INSTALLATION_NS)), iter(RANDOM)
    api = Api(store, lambda: next(times), lambda _size: next(random), Source(""), RequestBodies())
    query = {name: value for name, value in identifiers(TENANT).items() if name != "environmentIdentifier"}
    query |= {"routingId": "r", "correlationID": "3148e264ec6b4e438c53ad77699ee77c"}
    answer = post_agent(api, REQUEST, query, {"Authorization": f"Bearer {token.text()}"})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    sample = ANSWER.replace(b"_jXTCj_0RUm3cWW7KQj2ig", person_id(token.id).encode())
    assert answer.content == orjson.dumps(orjson.loads(sample))


def test_key_makes_a_person_of_the_samples_form() -> None:
    """22 characters, the same for the same key."""
    assert len(person_id("0123456789ab")) == len("_jXTCj_0RUm3cWW7KQj2ig")
    assert person_id("0123456789ab") == person_id("0123456789ab") != person_id("0123456789ac")


def test_agent_without_installation_comes_with_its_manifests_or_without(running: Running) -> None:
    """Nothing is installed, and no delegate has a task; the manager of this test has no `agents.url` to write down."""
    caller = Caller(running.url, make_key(running.database, "admin"))
    made = caller.good("createAgent", agent_request("by-hand"), noInstallation="true")
    assert made["installationType"] == "MANIFEST"
    assert {"installationDetails", "installationManifest"}.isdisjoint(made)
    caller.path["agentIdentity"] = "by-hand"
    assert caller.good("listInstallation")["page"]["totalItems"] == 0


def test_manifests_of_an_agent_hold_a_token_that_pushes(store: Store) -> None:
    """They are applied by hand: the Secret among them has the agent's token."""
    key = create_token(store, "admin", "someone", 1, secrets.token_bytes).text()
    api = Api(
        store,
        lambda: 5,
        secrets.token_bytes,
        Source("https://manager.example", registry="registry.example"),
        RequestBodies(),
    )
    query = {"accountIdentifier": "acme", "noInstallation": "true"}
    made = post_agent(api, agent_request("a"), query, {"X-API-Key": key}).json()
    objects = [one for one in safe_load_all(made["installationManifest"]) if one]
    assert {"Namespace", "Deployment", "DaemonSet", "Secret"} <= {one["kind"] for one in objects}
    secret = next(one for one in objects if one["kind"] == "Secret")
    token = b64decode(secret["data"]["token"]).decode()
    assert objects == agent_manifests(made["config"], api.agents, token, permanent=False), "what a delegate applies"
    principal = authenticate(store, token, "ingest", 6)
    assert principal is not None
    assert principal.tenant == Tenant("acme", environment="prod")
    assert "registry.example/" in made["installationManifest"]
