"""The routes of delegates, as any client could call them."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from manager.installations.installations import create_installation
from manager.store.agents import insert_agent
from manager.store.database import Store
from manager.store.delegate_tables import DELEGATES
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from manager.store.tokens.token_format import Scope
from tests.manager.conftest import CLIENT, Running
from tests.manager.installations.seed_agent import SEED

POLL = {"name": "d", "cluster": {"uid": "c-1"}, "waitSeconds": 0}
REPORT = {"delegateID": "x", "attempt": 1, "status": "RUNNING"}


class Caller:
    """A client with a token."""

    def __init__(self, manager: Running, store: Store) -> None:
        self.url, self.store = manager.url, store
        self.account = f"acme-{secrets.token_hex(4)}"
        self.token = self.make_token("delegate")

    def make_token(self, scope: Scope) -> str:
        """A token of a scope, of the caller's account."""
        tenant = Tenant(self.account)
        return create_token(self.store, scope, "lab", time.time_ns(), secrets.token_bytes, tenant=tenant).text()

    def post(self, path: str, body: Any, token: str | None = None, **headers: str) -> httpx.Response:
        """POST below /v1/delegates; bytes as they are."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"Authorization": f"Token {self.token if token is None else token}", "Content-Type": "application/json"}
        return CLIENT.post(f"{self.url}/v1/delegates{path}", content=content, headers=sent | headers)

    def is_known(self) -> bool:
        """Whether a poll of this account has come."""
        with self.store.reading() as connection:
            asked = select(DELEGATES.c.id).where(DELEGATES.c.account == self.account)
            return connection.execute(asked).first() is not None

    def install(self, tenant: Tenant) -> str:
        """An agent's installation; the id of its task."""
        now_ns = time.time_ns()
        with self.store.writing() as connection:
            name = f"agent-{secrets.token_hex(4)}"
            values = {"config": orjson.dumps(SEED), "installation_type": "CONNECTOR"}
            agent = insert_agent(connection, tenant, name, now_ns, secrets.token_bytes, **values)
            return create_installation(connection, agent, now_ns, secrets.token_bytes).task_id


@pytest.fixture
def caller(standing: Running) -> Iterator[Caller]:
    """A delegate's client with an account of its own, of a running manager on each kind of database."""
    with closing(Store(standing.database)) as store:
        yield Caller(standing, store)


def test_poll_hands_out_and_reports_end_a_task(caller: Caller) -> None:
    """The whole exchange as JSON; a poll without work is 204."""
    assert caller.post("/poll", POLL).status_code == 204
    task_id = caller.install(Tenant(caller.account, "o", "p", "e"))
    answer = caller.post("/poll", POLL | {"waitSeconds": 5})
    assert answer.status_code == 200
    body = answer.json()
    (task,) = body["tasks"]
    assert (task["id"], task["attempt"], task["kind"], task["leaseSeconds"]) == (task_id, 1, "apply", 60)
    assert (task["fieldManager"], task["force"], task["await"]) == ("podsonar-delegate", False, {"seconds": 300.0})
    assert task["log"]["account"] == caller.account
    assert len(task["manifests"]) == 13
    report = {"delegateID": body["delegateID"], "attempt": 1, "status": "SUCCESS", "objects": []}
    assert caller.post(f"/tasks/{task_id}/status", report | {"attempt": 2}).status_code == 409
    assert caller.post(f"/tasks/{task_id}/status", report).json() == {"accepted": True}
    assert caller.post(f"/tasks/{task_id}/status", report).json() == {"accepted": True}
    assert caller.post(f"/tasks/{task_id}/status", report | {"status": "FAILED"}).status_code == 409


def test_poll_returns_as_soon_as_there_is_work(caller: Caller) -> None:
    """Held until then; the task is made by another client meanwhile."""
    made: list[str] = []
    timer = threading.Timer(1.0, lambda: made.append(caller.install(Tenant(caller.account))))
    timer.start()
    answer = caller.post("/poll", POLL | {"waitSeconds": 20})
    timer.join()
    assert [task["id"] for task in answer.json()["tasks"]] == made


def test_held_poll_of_a_delegate_that_has_ended_takes_nothing_from_the_next_one(caller: Caller) -> None:
    """Its connection may look open for long: whoever asked last keeps the task."""
    held: list[httpx.Response] = []
    before = threading.Thread(target=lambda: held.append(caller.post("/poll", POLL | {"waitSeconds": 6})))
    before.start()
    while not caller.is_known():
        time.sleep(0.01)
    assert caller.post("/poll", POLL).status_code == 204
    task_id = caller.install(Tenant(caller.account))
    answer = caller.post("/poll", POLL | {"waitSeconds": 20}).json()
    (task,) = answer["tasks"]
    before.join()
    assert held[0].status_code in {204, 200}  # it may have been handed the task first
    report = {"delegateID": answer["delegateID"], "attempt": task["attempt"], "status": "SUCCESS", "objects": []}
    assert caller.post(f"/tasks/{task_id}/status", report).status_code == 200


@pytest.mark.parametrize("path", ["/poll", "/tasks/x-DEL/status"])
def test_token_of_another_scope_opens_nothing(caller: Caller, path: str) -> None:
    """401 with the scheme; neither an agent's, nor a person's, nor one that is almost right."""
    wrong = [caller.make_token(scope) for scope in ("ingest", "read", "admin")]
    for token in ("x", caller.token[:-1] + ("A" if caller.token[-1] != "A" else "B"), *wrong):
        answer = caller.post(path, POLL, token)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token"), token


def test_task_of_another_account_is_not_there(caller: Caller) -> None:
    """Neither handed out, nor to be reported on: 404, as for one that never was."""
    task_id = caller.install(Tenant("other"))
    assert caller.post("/poll", POLL).status_code == 204
    for name in (task_id, "never-DEL"):
        answer = caller.post(f"/tasks/{name}/status", REPORT)
        assert (answer.status_code, answer.json()["message"]) == (404, "no such task")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"\xff",
            {},
            POLL | {"name": ""},
            POLL | {"name": "x" * 300},
            POLL | {"cluster": {"uid": ""}},
        ),
        *(POLL | {"waitSeconds": "x"}, POLL | {"namespaces": [1]}, b'{"name": "a\\u0000b", "cluster": {"uid": "c"}}'),
    ],
)
def test_poll_of_another_form_is_refused(caller: Caller, body: Any) -> None:
    """400 with the place."""
    assert caller.post("/poll", body).status_code == 400


def test_body_that_is_too_large_is_refused(caller: Caller) -> None:
    """413 beyond 4 MiB."""
    assert caller.post("/poll", b" " * (4 << 20) + b" ").status_code == 413


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["name", "cluster", "version", "namespaces", "running", "waitSeconds", "delegateID", "attempt", "status"]
FIELDS += ["message", "objects", "agentDetails", "managerURL", "allowInsecureHttp"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.sampled_from(["/poll", "status"]), changed=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_no_body_is_an_error_of_the_manager(caller: Caller, where: str, changed: dict[str, Any]) -> None:
    """Any JSON in any member: an answer below 500."""
    if where == "/poll":
        answer = caller.post("/poll", POLL | changed | {"waitSeconds": 0})
    else:
        answer = caller.post("/tasks/never-DEL/status", REPORT | changed)
    assert answer.status_code < 500, (where, changed)
