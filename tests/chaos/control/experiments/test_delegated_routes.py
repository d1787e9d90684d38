"""A run with a delegate at the manager's routes, on both databases, at the times of a real clock."""

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson
import pytest

from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.delegated.run_desk import log_tokens
from tests.chaos.control.experiments.test_kserver import INFRA, MANIFEST, Run
from tests.manager.conftest import CLIENT

pytestmark = pytest.mark.long

TENANT = Tenant("acc", "org", "pro", "env")
QUERY = dict(zip([f"{name}Identifier" for name in Tenant._fields], TENANT, strict=True))
LIMIT_SECONDS = 30.0


class Asking:
    """A delegate of the account, one request after the other."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.headers = url, {"Authorization": f"Token {token}"}
        self.name = f"eks-{secrets.token_hex(3)}"
        self.id = ""

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer of one request; None for 204."""
        answer = CLIENT.post(f"{self.url}/v1/delegates{path}", headers=self.headers, content=orjson.dumps(body))
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.status_code == 200 else None

    def poll(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """The task that comes within a time."""
        asked = {"name": self.name, "cluster": {"uid": self.name}, "managerURL": self.url, "waitSeconds": seconds}
        found = self.post("/poll", asked)
        if found is None:
            return None
        self.id = found["delegateID"]
        (task,) = found["tasks"]
        return dict(task)

    def end(self, task: dict[str, Any], status: str, **more: Any) -> None:
        """Report the end of a task."""
        body = {"delegateID": self.id, "attempt": task["attempt"], "status": status, **more}
        assert self.post(f"/tasks/{task['id']}/status", body) == {"accepted": True}


def wait(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def deployment(run: str, result: str) -> dict[str, str]:
    """What a delegate says of the runner's Deployment."""
    name = f"podsonar-run-{run[:8]}"
    return {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "v2", "name": name, "uid": "u"} | {
        "result": result
    }


def test_order_makes_a_log_token_only_for_a_runner_of_one_s_own(manager: Manager) -> None:
    """A delegate's comes with the runner's list: until then no token writes the run's logs."""
    with closing(Store(manager.database)) as store:
        admin, token = (
            create_token(store, scope, scope, 1, secrets.token_bytes, tenant=TENANT).text()
            for scope in ("admin", "delegate")
        )
        delegate = Asking(manager.url, token)
        assert delegate.poll() is None  # from now on the manager knows it
        found = {}
        for bringing in ({"delegate": delegate.name}, {"ownRunner": True}):
            order = {"infraID": INFRA, "experiment": MANIFEST, **bringing}
            made = CLIENT.post(
                f"{manager.url}/v1/chaos/runs", params=QUERY, headers={"X-API-Key": admin}, content=orjson.dumps(order)
            )
            assert made.status_code == 201, made.text
            found[log_tokens(store, made.json()["runID"])] = made.json()
        assert {number: "logToken" in answer for number, answer in found.items()} == {0: False, 1: True}
        assert delegate.poll(5) is not None
        assert log_tokens(store, found[0]["runID"]) == 1


def test_run_is_brought_stopped_and_confirmed_by_three_tasks(manager: Manager) -> None:
    """The key of the list opens the run; a stop that no runner answers ends when the delegate says that all is gone."""
    with closing(Store(manager.database)) as store:
        admin, token = (
            create_token(store, scope, scope, 1, secrets.token_bytes, tenant=TENANT).text()
            for scope in ("admin", "delegate")
        )
    delegate = Asking(manager.url, token)
    assert delegate.poll() is None  # from now on the manager knows it
    order = {"infraID": INFRA, "experiment": MANIFEST, "delegate": delegate.name}
    made = CLIENT.post(
        f"{manager.url}/v1/chaos/runs", params=QUERY, headers={"X-API-Key": admin}, content=orjson.dumps(order)
    )
    assert made.status_code == 201, made.text
    brought = delegate.poll(5)
    assert brought is not None
    assert brought["id"] == made.json()["delegateTaskID"]
    secret = next(body["stringData"] for body in brought["manifests"] if body["kind"] == "Secret")
    run = Run(manager.url, made.json() | {"accessKey": secret["ACCESS_KEY"]}, admin)
    assert run.data()["phase"] == "Queued"
    run_id = made.json()["runID"]
    delegate.end(brought, "SUCCESS", objects=[deployment(run_id, "created")])

    begun = time.monotonic()
    assert run.person("POST", f"/{run_id}/stop", {"reason": "enough"}).status_code == 202
    abort = delegate.poll(10)
    assert abort is not None
    annotated = next(body["metadata"]["annotations"] for body in abort["manifests"] if body["kind"] == "ConfigMap")
    assert annotated["podsonar.io/abort-reason"] == "enough"
    delegate.end(abort, "SUCCESS")
    removal = delegate.poll(20)
    assert removal is not None
    assert 10 <= time.monotonic() - begun < 20
    assert removal["objects"][0]["uid"] == "u"
    data = run.data()
    assert not data["completed"]
    assert "not confirmed" in data["executionData"]["message"]
    delegate.end(removal, "SUCCESS", objects=[deployment(run_id, "deleted")], injectorsGone=True)
    wait(lambda: run.data()["completed"])
    assert run.data()["phase"] == "Stopped"
    assert delegate.poll(2) is None
