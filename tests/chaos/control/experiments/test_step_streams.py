"""The log streams of a run's steps at the manager: opened with the step, of the run's tenant, closed with the run."""

import secrets
from contextlib import closing
from typing import Any

from chaos.control.experiments.runs.ends import end_overdue
from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.test_kserver import Run, with_phases
from tests.chaos.control.experiments.test_kserver import run as run  # noqa: PLC0414 - a fixture
from tests.manager.conftest import CLIENT

STEP = "pod-delete-wm3"


def key_of(run: Run, step: str = STEP) -> str:
    """The key of a step's stream."""
    return f"{run.ids['runID']}-{step}"


def begin(run: Run, stream: str = "") -> None:
    """Post that the step runs, and where it writes."""
    execution = with_phases(run.data()["executionData"], delete="Running")
    node = next(one for one in execution["nodes"].values() if one["name"] == STEP)
    node["chaosData"]["streamID"] = stream or key_of(run)
    assert run.event(execution).status_code == 200


def complete(run: Run) -> None:
    """Post the end of the run."""
    execution = with_phases(run.data()["executionData"], delete="Completed", cpu="Completed")
    assert run.event(execution, completed=True).status_code == 200


def info(run: Run, key: str, person: str = "") -> Any:
    """What a person hears of a stream; by default one of the run's environment."""
    headers = {"X-API-Key": person or run.admin}
    return CLIENT.get(f"{run.url}/v1/logs/{key}/info", params={"accountID": "acc"}, headers=headers)


def write(run: Run) -> None:
    """Write a line as the runner does."""
    line = {"level": "info", "pos": 1, "out": "x", "time": "2026-11-30T10:00:00Z", "args": {"PodName": "r"}}
    headers = {"X-Harness-Token": run.ids["logToken"]}
    query = {"accountID": "acc", "key": key_of(run)}
    assert CLIENT.put(f"{run.url}/log-service/stream", params=query, headers=headers, json=[line]).status_code == 204


def test_stream_is_open_as_soon_as_its_step_runs_for_people_of_the_environment(manager: Manager, run: Run) -> None:
    """Before its first line; a key of another environment does not see it, also with lines in it."""
    assert info(run, key_of(run)).status_code == 404
    begin(run)
    write(run)
    found = info(run, key_of(run)).json()
    assert (found["isOpen"], found["lines"], found["implicitOpens"]) == (True, 1, 0)
    with closing(Store(manager.database)) as store:
        tenant = Tenant("acc", "org", "pro", "another")
        other = create_token(store, "admin", "bob", 1, secrets.token_bytes, tenant=tenant).text()
    assert info(run, key_of(run), other).status_code == 404


def test_event_opens_no_stream_but_its_own_step_s(run: Run) -> None:
    """Another key in `streamID` is kept as it is and opens nothing."""
    begin(run, f"{run.ids['runID']}-another")
    assert info(run, f"{run.ids['runID']}-another").status_code == 404


def test_end_of_the_run_leaves_the_closing_to_its_runner(run: Run) -> None:
    """The last lines may come behind the last event: who follows gets them."""
    begin(run)
    complete(run)
    write(run)
    found = info(run, key_of(run)).json()
    assert (found["isOpen"], found["lines"], found["implicitOpens"]) == (True, 1, 0)


def test_run_without_its_runner_closes_all_at_its_deadline(manager: Manager, run: Run) -> None:
    """The runner is gone: nobody else would."""
    begin(run)
    write(run)
    with closing(Store(manager.database)) as store, store.writing() as connection:
        assert run.ids["runID"] in end_overdue(connection, 1 << 62)
    assert not info(run, key_of(run)).json()["isOpen"]
