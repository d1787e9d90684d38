"""Requests that nobody means well: each is refused with its reason, and none is an internal error."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest

from tests.manager.api.operations import PAGE, Caller, agent_request, identifiers, make_key, standing_shop
from tests.manager.conftest import CLIENT, Running

AGENT = orjson.dumps(agent_request("a"))
MIB = 1 << 20
# What is sent, the headers beside the key, the status.
BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "empty": (b"", {}, 400),
    "no JSON": (b"{", {}, 400),
    "a list": (b"[]", {}, 400),
    "null": (b"null", {}, 400),
    "deep list": (b"[" * 100_000 + b"]" * 100_000, {}, 400),
    "deep object": (b'{"config":' * 900 + b"1" + b"}" * 900, {}, 400),
    "no UTF-8": (b'{"name":"\xff"}', {}, 400),
    "lone surrogate": (AGENT.replace(b"DA-a", b"\\ud800"), {}, 400),
    "NUL": (AGENT.replace(b"DA-a", b"a\\u0000b"), {}, 400),
    "huge number": (AGENT.replace(b'InMin":1', b'InMin":' + b"9" * 400), {}, 400),
    "64 bits": (AGENT.replace(b'InMin":1', b'InMin":18446744073709551615'), {}, 400),
    "negative": (AGENT.replace(b'InMin":1', b'InMin":-1'), {}, 400),
    "fraction": (AGENT.replace(b'InMin":1', b'InMin":1.5'), {}, 400),
    "NaN": (AGENT.replace(b'InMin":1', b'InMin":NaN'), {}, 400),
    "a path as identity": (orjson.dumps(agent_request("../../etc")), {}, 400),
    "two dots": (orjson.dumps(agent_request("..")), {}, 400),
    "long identity": (orjson.dumps(agent_request("a" * 254)), {}, 400),
    "long name": (AGENT.replace(b"DA-a", b"x" * 5000), {}, 400),
    "other media type": (AGENT, {"Content-Type": "text/yaml"}, 400),
    "other charset": (AGENT, {"Content-Type": "application/json; charset=latin1"}, 400),
    "other encoding": (AGENT, {"Content-Encoding": "br"}, 400),
    "broken gzip": (b"\x1f\x8bnope", {"Content-Encoding": "gzip"}, 400),
    "gzip bomb": (gzip.compress(b" " * (64 * MIB)), {"Content-Encoding": "gzip"}, 413),
    "9 MiB": (AGENT[:-1] + b" " * (9 * MIB) + b"}", {}, 413),
    "gzipped": (gzip.compress(AGENT), {"Content-Encoding": "gzip"}, 201),
}
QUERIES: dict[str, tuple[dict[str, str], int]] = {
    "negative page": ({"page": "-1"}, 400),
    "page of no number": ({"page": "one"}, 400),
    "page beyond 64 bits": ({"page": "9" * 30}, 400),
    "large page": ({"page": "999999999", "limit": "1000"}, 200),
    "limit of 0": ({"limit": "0"}, 400),
    "other digits": ({"page": "\u0661"}, 400),
    "all is no truth": ({"all": "maybe"}, 400),
    "wildcards": ({"search": "%_\\"}, 200),
    "quotes": ({"search": "' OR 1=1 --"}, 200),
    "NUL": ({"search": "a\0b"}, 400),
    "long search": ({"search": "x" * 5000}, 200),
}


def post(running: Running, key: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """The answer to the creation of an agent."""
    query = {name: text for name, text in identifiers(Caller("", "").tenant).items() if name != "environmentIdentifier"}
    sent = {"X-API-Key": key, "Content-Type": "application/json"} | headers
    return CLIENT.post(f"{running.url}/api/v1/agents", params=query, content=body, headers=sent)


def test_hostile_bodies_are_refused_with_their_reason(running: Running) -> None:
    """The status of each, the error's shape, and no answer with 5xx."""
    key = make_key(running.database, "admin")
    answers = {name: post(running, key, body, headers) for name, (body, headers, _) in BODIES.items()}
    assert {name: one.status_code for name, one in answers.items()} == {
        n: status for n, (_, _, status) in BODIES.items()
    }
    for name, answer in answers.items():
        if answer.status_code >= 400:
            assert set(answer.json()) == {"message", "description"}, name
            assert answer.json()["message"], name


@pytest.mark.parametrize("path", ["/agents", "/agents/shop-1/networkmaps", "/agents/shop-1/discoveredservices"])
def test_hostile_queries_are_refused_or_find_nothing(standing: Running, path: str) -> None:
    """The status of each, in lists of three kinds."""
    caller = standing_once(standing)
    found: dict[str, Any] = {}
    for name, (query, _) in QUERIES.items():
        given = identifiers(caller.tenant) | PAGE | query
        answer = CLIENT.get(f"{standing.url}/api/v1{path}", params=given, headers={"X-API-Key": caller.key})
        found[name] = answer.status_code
        if answer.status_code == 200:
            assert answer.json()["items"] == [], name
    assert found == {name: status for name, (_, status) in QUERIES.items()}


def standing_once(standing: Running) -> Caller:
    """A caller for the standing manager's shop, which is made once."""
    known = Caller(standing.url, make_key(standing.database, "admin"), path={"agentIdentity": "shop-1"})
    return known if known.call("getAgent").status_code == 200 else standing_shop(standing)


def test_one_of_many_creations_of_a_name_wins(running: Running) -> None:
    """The others are 409; after its deletion the name is free, and the new agent is another one."""
    caller = Caller(running.url, make_key(running.database, "admin"), path={"agentIdentity": "a"})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: caller.call("createAgent", agent_request("a")), range(16)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 15
    (first,) = [one.json()["id"] for one in answers if one.status_code == 201]
    token = caller.good("getAgentToken")["token"]
    caller.good("deleteAgent")
    assert running.push({}, Authorization=f"Token {token}").status_code == 404
    assert caller.good("createAgent", agent_request("a"))["id"] != first
    assert caller.good("listDiscoveredService")["items"] == []


def test_two_minted_tokens_are_good_at_a_time(running: Running) -> None:
    """The third revokes the first."""
    caller = Caller(running.url, make_key(running.database, "admin"), path={"agentIdentity": "a"})
    caller.good("createAgent", agent_request("a"))
    tokens = [caller.good("getAgentToken")["token"] for _ in range(3)]
    answers = [running.push({}, Authorization=f"Token {token}").status_code for token in tokens]
    assert answers == [401, 400, 400]
