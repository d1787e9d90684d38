"""Runs with `spec.windows` by a delegate: the agents' token stays in its Secret, and without one nothing is applied."""

import secrets
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from manager.store.delegate_tables import DELEGATE_TASKS
from tests.chaos.runner.order_port import Collector, collector
from tests.delegate.delegated_runs import Object, Runs
from tests.delegate.delegated_runs import runs as runs  # noqa: PLC0414 - a fixture
from tests.delegate.test_runs import step

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SECRET, KEY = "agents-token", "ingest"
NEVER = "0 0 1 1 *"
WINDOWS = {"windows": {"seconds": 5, "baseline": 1, "recovery": 0}}


@pytest.fixture
def agents() -> Iterator[Collector]:
    """A collector of agents that wait for orders, with a token that nothing else has."""
    token = f"podsonar_{secrets.token_hex(6)}_{secrets.token_hex(20)}"
    with collector(NEVER, now_ns=time.time_ns, token=token) as made:
        yield made


def put_secret(runs: Runs, data: dict[str, str]) -> Object:
    """A Secret in the runner's namespace, as the API server has it."""
    metadata = {"name": SECRET, "namespace": runs.site.namespace}
    runs.site.plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}])
    return secret_object(runs)


def secret_object(runs: Runs) -> Object:
    """The Secret as it is now."""
    path = f"/api/v1/namespaces/{runs.site.namespace}/secrets/{SECRET}"
    found: Object = runs.site.plane.objects.request("GET", path)
    return found


def stored_text(runs: Runs) -> str:
    """Every task that the manager keeps, with what was reported of it."""
    with runs.site.store.reading() as connection:
        return str([tuple(row) for row in connection.execute(select(DELEGATE_TASKS))])


def test_runner_orders_windows_with_the_token_of_the_named_secret(runs: Runs, agents: Collector) -> None:
    """Ordered and observed by the real runner; the Secret is as before, and nobody else has its token."""
    secret = put_secret(runs, {KEY: f"{agents.token}\n"})  # as `kubectl create secret --from-file` makes it
    before = runs.uids()
    with runs.delegate(directory={"url": agents.url, "secret": SECRET, "key": KEY}):
        runs.wait_until_asked()
        run = runs.order(3, spec=WINDOWS)
        brought = runs.wait_for_task(run, "run")
        assert brought.status == "SUCCESS", brought
        objects = [one for name, one in runs.site.objects().items() if f"podsonar-run-{run[:8]}" in name]
        with runs.runner(run) as process:
            ended = runs.wait_for_end(run)
            assert process.wait(30) == 0
        removed = runs.wait_for_task(run, "remove")
        assert removed.status == "SUCCESS", removed
    assert (ended["phase"], ended["faultsPassed"]) == ("Completed", 1), ended["executionData"]
    kinds = [one.purpose.kind for one in agents.orders.book.of_run(run).windows if one.purpose]
    assert kinds == ["baseline"] + ["fault"] * 5
    assert (runs.uids(), secret_object(runs)) == (before, secret)
    assert SECRET in str(objects)
    for text in (str(objects), stored_text(runs), str(runs.data(run)), runs.site.log_text()):
        assert agents.token not in text


def test_abort_is_not_held_up_by_a_secret_that_has_gone(runs: Runs) -> None:
    """The runner is there: it is told to stop, and taken away."""
    put_secret(runs, {KEY: "t"})
    with runs.delegate(directory={"url": "http://collector.invalid:8766", "secret": SECRET, "key": KEY}):
        runs.wait_until_asked()
        run = runs.order(3, spec=WINDOWS)
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        path = f"/api/v1/namespaces/{runs.site.namespace}/secrets/{SECRET}"
        runs.site.plane.client.request("DELETE", path).raise_for_status()
        runs.stop(run)
        assert runs.wait_for_task(run, "abort").status == "SUCCESS"
        assert runs.wait_for_end(run)["phase"] == "Stopped"


@pytest.mark.parametrize(
    ("data", "directory", "expected"),
    [
        pytest.param({KEY: "t"}, {}, "expected its settings delegate.directory.url and", id="no setting"),
        pytest.param({}, {"secret": SECRET, "key": KEY}, "Secret {0}/agents-token with ingest is not there", id="key"),
        pytest.param({KEY: ""}, {"secret": SECRET, "key": KEY}, "with ingest is not there: expected the", id="empty"),
        pytest.param({KEY: "t"}, {"secret": "other"}, "Secret {0}/other with token is not there", id="secret"),
    ],
)
def test_run_with_windows_that_has_no_token_ends_with_the_reason(
    runs: Runs, data: dict[str, str], directory: dict[str, str], expected: str
) -> None:
    """An error that says what is missing, and where; nothing was applied."""
    put_secret(runs, data)
    before = runs.uids()
    given = {"directory": directory | {"url": "http://collector.invalid:8766"}} if directory else {}
    with runs.delegate(**given):
        runs.wait_until_asked()
        ended = runs.wait_for_end(runs.order(3, spec=WINDOWS))
    assert runs.uids() == before
    assert ended["phase"] == "Error"
    phase, message = step(ended)
    assert (phase, message.partition(": ")[0]) == ("Error", "the delegate brought no runner")
    assert expected.format(runs.site.namespace) in message
