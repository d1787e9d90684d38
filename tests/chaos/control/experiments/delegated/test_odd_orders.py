"""Orders of which no objects can be made: refused, or ended by themselves; the delegate gets its other tasks."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from manager.installations.tasks import tasks_of_run
from manager.store.database import Store
from manager.store.experiments.runs import update_run
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.chaos.conftest import KINDS, chaos_manager
from tests.chaos.control.experiments.test_kserver import MANIFEST, TENANT
from tests.manager.conftest import CLIENT, database_of

WHERE = "experiment: Expected `{}` - at `$.spec.tasks[0].definition.targets{}`"


class Account:
    """An account with a delegate, and a person of each of two projects."""

    def __init__(self, url: str, database: str) -> None:
        self.url, self.database = url, database
        with closing(Store(database)) as store:
            self.token = create_token(store, "delegate", "d", 1, secrets.token_bytes, tenant=Tenant("acc")).text()
            self.key = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=Tenant("acc")).text()

    def poll(self) -> list[dict[str, Any]]:
        """The tasks that the delegate gets."""
        body = {"name": "d", "cluster": {"uid": "u"}, "waitSeconds": 0, "managerURL": "https://manager.example"}
        headers = {"Authorization": f"Token {self.token}"}
        answer = CLIENT.post(f"{self.url}/v1/delegates/poll", json=body, headers=headers)
        assert answer.status_code in {200, 204}, answer.text
        found: list[dict[str, Any]] = answer.json()["tasks"] if answer.content else []
        return found

    def order(self, manifest: Any, project: str = "pro") -> Any:
        """The answer to an order that the delegate is to bring."""
        query = TENANT | {"projectIdentifier": project}
        body = {"infraID": "prod", "experiment": manifest, "delegate": "d"}
        headers = {"X-API-Key": self.key}
        return CLIENT.post(f"{self.url}/v1/chaos/runs", params=query, json=body, headers=headers)


@pytest.fixture(params=KINDS)
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    """The delegate has asked once: it is known."""
    with database_of(request, tmp_path) as database, chaos_manager(database) as manager:
        made = Account(manager.url, database)
        assert made.poll() == []
        yield made


def with_targets(targets: Any) -> dict[str, Any]:
    """An experiment whose first task has such targets."""
    manifest: dict[str, Any] = orjson.loads(orjson.dumps(MANIFEST))
    manifest["spec"]["tasks"][0]["definition"]["targets"] = targets
    return manifest


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], WHERE.format("object`, got `array", "")),
        ({"selectors": [1]}, WHERE.format("object | null`, got `array", ".selectors")),
        ({"selectors": "x"}, WHERE.format("object | null`, got `str", ".selectors")),
        ({"selectors": {"workloads": "x"}}, WHERE.format("array | null`, got `str", ".selectors.workloads")),
        ({"selectors": {"workloads": {"a": 1}}}, WHERE.format("array | null`, got `object", ".selectors.workloads")),
        ({"selectors": {"workloads": [1]}}, WHERE.format("object`, got `int", ".selectors.workloads[0]")),
        (
            {"selectors": {"workloads": [{"namespace": ["a"]}]}},
            WHERE.format("str | null`, got `array", ".selectors.workloads[0].namespace"),
        ),
    ],
)
def test_targets_of_another_shape_are_refused(account: Account, targets: Any, expected: str) -> None:
    """400 with the place; the delegate asks on."""
    answer = account.order(with_targets(targets))
    assert (answer.status_code, answer.json()["message"]) == (400, expected)
    assert account.poll() == []


@pytest.mark.parametrize(
    "targets",
    [{}, {"selectors": None}, {"selectors": {"workloads": None}}, {"selectors": {"workloads": [{"names": None}]}}],
)
def test_targets_that_are_left_out_are_brought_to_the_runner(account: Account, targets: Any) -> None:
    """Clients in Go send null for what is empty; the runner says what it misses."""
    assert account.order(with_targets(targets)).status_code == 201
    (task,) = account.poll()
    assert task["manifests"]


def test_probes_that_nobody_names_are_not_read(account: Account) -> None:
    """They may have any names and inputs."""
    manifest = with_targets({})
    odd = [{"name": ["x"]}, {"name": {"a": 1}}, {"name": "z", "k8sProbe/inputs": [1]}, {"k8sProbe/inputs": "x"}]
    manifest["spec"]["probes"] = odd
    assert account.order(manifest).status_code == 201
    assert len(account.poll()) == 1


def test_task_that_cannot_be_made_ends_and_the_others_are_handed_out(account: Account) -> None:
    """An order of one project keeps nothing from another; what failed is named, and counted."""
    ids = [account.order(MANIFEST, project).json()["runID"] for project in ("first", "second", "third")]
    with closing(Store(account.database)) as store:
        with store.writing() as connection:
            update_run(connection, ids[1], execution=b"{}")
        assert len(account.poll()) == 2
        with store.reading() as connection:
            tasks = [tasks_of_run(connection, run_id)[0] for run_id in ids]
    assert [task.status for task in tasks] == ["RUNNING", "FAILED", "RUNNING"]
    assert tasks[1].message.startswith("the manager cannot make it (ValidationError at ")
    metrics = CLIENT.get(f"{account.url}/metrics").text
    assert "podsonar_manager_internal_errors_total 1.0" in metrics
