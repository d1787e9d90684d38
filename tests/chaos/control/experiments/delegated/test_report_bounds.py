"""What delegates say of themselves and of tasks is bounded: by each request, and by what is kept of all of them."""

from typing import Any

import httpx
import pytest

from tests.chaos.control.experiments.delegated.test_odd_orders import Account
from tests.chaos.control.experiments.delegated.test_odd_orders import account as account  # noqa: PLC0414 - a fixture
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.manager.conftest import CLIENT


def objects(prefix: str, number: int, **members: str) -> list[dict[str, str]]:
    """Reports of so many objects."""
    one = {"apiVersion": "v1", "kind": "Pod", "result": "created"} | members
    return [one | {"name": f"{prefix}-{place}"} for place in range(number)]


class Task:
    """A task that the delegate has taken."""

    def __init__(self, account: Account) -> None:
        self.account = account
        assert account.order(MANIFEST).status_code == 201
        body = {"name": "d", "cluster": {"uid": "u"}, "waitSeconds": 0, "managerURL": "https://manager.example"}
        answer = self.post("/v1/delegates/poll", body).json()
        self.delegate, self.task = answer["delegateID"], answer["tasks"][0]

    def post(self, path: str, body: Any) -> httpx.Response:
        """A request of the delegate."""
        headers = {"Authorization": f"Token {self.account.token}"}
        return CLIENT.post(self.account.url + path, json=body, headers=headers)

    def report(self, found: list[dict[str, str]], **members: Any) -> httpx.Response:
        """The answer to a report."""
        body = {"delegateID": self.delegate, "attempt": self.task["attempt"], "status": "RUNNING", "objects": found}
        return self.post(f"/v1/delegates/tasks/{self.task['id']}/status", body | members)


def test_reports_that_go_on_naming_objects_are_refused(account: Account) -> None:
    """Each is small enough; the task would grow with every one. What was known stays known."""
    task = Task(account)
    answers = [task.report(objects(str(number), 300)) for number in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 400, 400]
    assert answers[-1].json()["message"] == "body: objects: the task would have 1200, expected at most 1000"
    assert task.report(objects("0", 300, result="deleted")).status_code == 200


def test_message_of_an_object_is_cut(account: Account) -> None:
    """An API server may say anything: it is no reason to lose the report."""
    assert Task(account).report(objects("a", 100, message="m" * 40_000)).status_code == 200


@pytest.mark.parametrize(
    "members",
    [
        {"objects": objects("a", 1001)},
        {"objects": objects("a", 1, namespace="n" * 513)},
        {"objects": objects("a", 1, uid="n" * 513)},
        {"agentDetails": {"cluster": {"name": "n" * 513, "namespace": "a", "uid": "b", "status": "c"}}},
    ],
)
def test_report_beyond_its_bounds_is_refused(account: Account, members: dict[str, Any]) -> None:
    """With the place."""
    answer = Task(account).report([], **members)
    assert answer.status_code == 400
    assert " - at `$." in answer.json()["message"]


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"running": ["x"] * 300_000}, "$.running"),
        ({"running": ["x" * 254]}, "$.running[0]"),
        ({"namespaces": ["x"] * 4097}, "$.namespaces"),
        ({"namespaces": ["x" * 254]}, "$.namespaces[0]"),
    ],
)
def test_poll_beyond_its_bounds_is_refused(account: Account, members: dict[str, Any], place: str) -> None:
    """More running tasks than a statement has parameters were a database that is away."""
    body = {"name": "d", "cluster": {"uid": "u"}, "waitSeconds": 0} | members
    headers = {"Authorization": f"Token {account.token}"}
    answer = CLIENT.post(f"{account.url}/v1/delegates/poll", json=body, headers=headers)
    assert answer.status_code == 400
    assert f"at `{place}`" in answer.json()["message"]
