"""manager/ingest/handler.py: what a push is answered with."""

import gzip
import secrets
from typing import Any

import orjson
import pytest

from manager.store.agents import find_agent, remove_agent
from manager.store.batches.window_batches import read_batches
from manager.store.database import Store
from manager.store.tokens.issued import create_token, revoke_token
from manager.store.tokens.token_format import parse
from tests.manager.conftest import CLIENT, Running
from tests.manager.shop import NODE_A, WINDOW, WINDOW_ID, connection, inventory, observed, taken

GOOD = gzip.compress(orjson.dumps(NODE_A))
STRANGER = "podsonar_0123456789ab_" + "A" * 43


def test_good_batch_is_stored_and_second_time_is_duplicate(running: Running) -> None:
    """A batch is stored once however often it is sent; both answers are 201."""
    first, second = running.push(NODE_A), running.push(NODE_A)
    assert (first.status_code, first.json()) == (
        201,
        {"batch_id": "b-1", "stored": True, "duplicate": False, "stale": False},
    )
    assert (second.status_code, second.json()["duplicate"]) == (201, True)
    store = Store(running.database)
    agent = find_agent(store, "lab")
    assert agent is not None
    assert len(read_batches(store, agent.id, WINDOW_ID)) == 1
    store.close()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Token", 401),
        (f"Token {STRANGER}", 401),
        (f"Bearer {STRANGER}", 401),
        ("Token nonsense", 401),
        ("Token {token}", 201),
        ("token {token}", 201),
        ("Token {key}", 401),
        ("Token {token}x", 401),
    ],
)
def test_authorization_decides_first(running: Running, authorization: str, status: int) -> None:
    """Only the agent's own token in exactly one header of scheme Token opens; a person's key does not."""
    text = authorization.format(token=running.token, key=running.key)
    answer = running.push(NODE_A, Authorization=text)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Token"


def test_removed_agent_is_404_and_revoked_token_401(running: Running) -> None:
    """A good token of an agent that is gone is 404; a revoked one is as good as none."""
    store = Store(running.database)
    other = create_token(store, "ingest", "lab", 2, secrets.token_bytes)
    revoke_token(store, other.id, 3)
    assert running.push(NODE_A, Authorization=f"Token {other.text()}").status_code == 401
    remove_agent(store, "lab", 4)
    store.close()
    assert running.push(NODE_A).status_code == 404


def deep(levels: int) -> bytes:
    """A body whose `x` nests that deep."""
    return b'{"x":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (GOOD[:-20], {}, 400),
        (GOOD + b"rubbish", {}, 400),
        (GOOD[:-8] + b"\0" * 8, {}, 400),
        (b"", {}, 400),
        (b"not json", {"Content-Encoding": "identity"}, 400),
        (b"[]", {"Content-Encoding": "identity"}, 400),
        (b'{"connectionList": []}', {"Content-Encoding": "identity"}, 400),
        (deep(40), {"Content-Encoding": "identity"}, 400),
        (b'{"nodeName": "a\\u0000"}', {"Content-Encoding": "identity"}, 400),
        (gzip.compress(b" " * (33 * 2**20)), {}, 413),
        (b" " * (8 * 2**20 + 1), {"Content-Encoding": "identity"}, 413),
        (GOOD, {"Content-Encoding": "br"}, 415),
        (GOOD, {"Content-Encoding": "gzip, gzip"}, 415),
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (GOOD, {"Idempotency-Key": "../../etc"}, 400),
    ],
)
def test_bad_body_is_refused_and_nothing_is_stored(
    running: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Whatever is wrong has its status; the batch id stays free for a good body."""
    assert running.push(body, **headers).status_code == status
    assert running.push(NODE_A).json()["stored"] is True


def wrong(**fields: Any) -> dict[str, Any]:
    """A connections body whose one record has wrong fields."""
    return observed("node-a", [connection("a", "10.1.1.1", "10.1.1.2", 80, n=1) | fields], [])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (wrong(attempts=-1), "/connectionList/0/attempts"),
        (wrong(attempts="4"), "/connectionList/0/attempts"),
        (wrong(kubernetes={}), "/connectionList/0/kubernetes"),
        (wrong(destinationPort=80), "/connectionList/0/destinationPort"),
        (NODE_A | {"schemaVersion": 2}, "/schemaVersion"),
        (NODE_A | {"schemaVersion": "1.1"}, "/schemaVersion"),
        (NODE_A | {"window": {"start": "yesterday", "end": WINDOW["end"]}}, "/window"),
        (NODE_A | {"window": {"start": WINDOW["end"], "end": WINDOW["start"]}}, "/window"),
        (wrong(destinationPort="80\n"), "/connectionList/0/destinationPort"),
        (wrong(lastErrno=2**31), "/connectionList/0/lastErrno"),
        (wrong(attempts=2**53), "/connectionList/0/attempts"),
        (inventory(part=3, parts=2), "/inventory/part"),
    ],
)
def test_wrong_schema_is_400_with_the_place(running: Running, body: dict[str, Any], pointer: str) -> None:
    """The answer names the place of the first error and never repeats the data."""
    answer = running.push(body)
    assert (answer.status_code, answer.json()["description"]) == (400, pointer)
    assert "yesterday" not in answer.text


def test_too_many_records_is_413(running: Running) -> None:
    """A body with more records than one batch may hold is to be halved by its sender."""
    one = taken("a", "10.1.1.1", 80, "10.1.1.2", 1)
    assert running.push(observed("node-a", [], [one] * 100_001)).status_code == 413


def test_no_answer_tells_a_secret_and_all_carry_the_policy(running: Running) -> None:
    """Secrets are in no answer; every answer carries the security headers."""
    token = parse(running.token)
    assert token is not None
    for path in ("/", "/healthz", "/readyz", "/metrics", "/api/v1/agents", "/nowhere"):
        answer = CLIENT.get(running.url + path)
        assert token.secret not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
