"""Leases and deadlines of tasks, with the clock as an argument."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaos.control.linux.deadlines import end_overdue_tasks
from chaos.control.linux.infras import Infra, register
from chaos.control.linux.tasks import (
    LEASE_NS,
    TaskIds,
    find_task,
    hand_out,
    make_task,
    new_task_ids,
    take_result,
    take_status,
    task_wire,
)
from chaos.task_action import read_action
from manager.store.database import Store
from manager.store.tenancy import Tenant
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.control.linux.conftest import ACCOUNT, sample
from tests.manager.conftest import database_of
from tests.manager.fresh_database import migrated

NOW = 1_746_115_610 * NS_PER_SECOND
TENANT = Tenant(ACCOUNT, "default", "shop", "")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A migrated database."""
    with database_of(request, tmp_path) as url:
        migrated(url)
        with closing(Store(url)) as made:
            yield made


def host_with_task(store: Store, ids: TaskIds) -> Infra:
    """A host with the document's task."""
    action: dict[str, Any] = sample("task")["taskList"][0]["action"]
    with store.writing() as connection:
        made = register(connection, TENANT, "host", NOW, secrets.token_bytes)
        assert made is not None
        make_task(connection, made[0], ids, action, read_action(action), NOW)
    return made[0]


def given_ids() -> TaskIds:
    """The ids of the document's sample."""
    task = sample("task")["taskList"][0]
    run_id = task["streamID"].removesuffix("-" + task["taskName"])
    return TaskIds(task["taskName"], run_id, task["lceUID"])


def test_task_with_given_ids_and_clock_is_the_sample_byte_for_byte(store: Store) -> None:
    """Every id and the clock are arguments."""
    name = new_task_ids("linux-cpu-hog", "linux-cpu-stress", NOW, lambda size: bytes(range(size))).name
    assert name.rpartition("-")[0] == given_ids().name.rpartition("-")[0]
    infra = host_with_task(store, given_ids())
    with store.writing() as connection:
        task, is_active = hand_out(connection, infra, NOW)
    assert task is not None
    assert orjson.dumps({"taskList": [task_wire(task)], "isActive": is_active}) == orjson.dumps(sample("task"))


def test_lease_that_nobody_renews_hands_the_task_out_again_with_its_id(store: Store) -> None:
    """Not before the lease is over; after the first status never again."""
    infra = host_with_task(store, given_ids())
    with store.writing() as connection:
        found = [hand_out(connection, infra, NOW + after)[0] for after in (0, LEASE_NS - 1, LEASE_NS + 1)]
        again = found[2]
        assert found[0] is not None
        assert again is not None
        assert (found[1], again["lce_uid"]) == (None, found[0]["lce_uid"])
        assert take_status(connection, again, "Running", NOW + LEASE_NS + 2) is False
        assert hand_out(connection, infra, NOW + 3 * LEASE_NS) == (None, True)


def test_task_that_nobody_takes_is_over_after_ten_minutes(store: Store) -> None:
    """`Timeout`, with the reason; no transaction writes before, and none after."""
    infra = host_with_task(store, given_ids())
    writes: list[float] = []
    store.on_transaction = writes.append
    assert end_overdue_tasks(store, NOW + 599 * NS_PER_SECOND) == 0
    assert writes == []
    assert end_overdue_tasks(store, NOW + 601 * NS_PER_SECOND) == 1
    assert end_overdue_tasks(store, NOW + 602 * NS_PER_SECOND) == 0
    assert len(writes) == 1
    with store.writing() as connection:
        task = find_task(connection, given_ids().name, infra.id)
    assert task is not None
    assert (task["status"], task["message"]) == ("Timeout", "no agent took it within ten minutes")


def test_silent_agent_is_timed_out_after_the_deadline_and_its_late_result_counts(store: Store) -> None:
    """The deadline is the fault's and every probe's longest time and a minute; the result replaces `Timeout`."""
    infra, name = host_with_task(store, given_ids()), given_ids().name
    with store.writing() as connection:
        task, _ = hand_out(connection, infra, NOW)
        assert task is not None
        take_status(connection, task, "Running", NOW)
    deadline = NOW + (30 + 2 * 181 + 60) * NS_PER_SECOND
    assert end_overdue_tasks(store, deadline - 1) == 0
    assert end_overdue_tasks(store, deadline + 1) == 1
    with store.writing() as connection:
        silent = find_task(connection, name, infra.id)
        assert silent is not None
        assert "nothing is injected" in silent["message"]
        assert take_status(connection, silent, "Running", deadline + 2) is True
        body = orjson.dumps(sample("result"))
        assert take_result(connection, silent, sample("result")["result"], body, deadline + 3)
        ended = find_task(connection, name, infra.id)
    assert ended is not None
    assert (ended["status"], "came after Timeout" in ended["message"]) == ("Error", True)
