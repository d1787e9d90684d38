"""What becomes of a run by its delegate's reports: confirmed, left to its deadline, or removed again."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from chaos.control.experiments.delegated.next_change import AGAIN_NS, LOOK_BACK_NS, STOP_NS
from manager.installations.progress import sweep
from manager.installations.tasks import lease_tasks
from tests.chaos.control.experiments.delegated.run_desk import DELEGATE, NOON, SECONDS, Desk
from tests.chaos.control.experiments.delegated.run_desk import desk as desk  # noqa: PLC0414 - a fixture


@pytest.mark.parametrize("gone", [False, True])
def test_dead_runner_s_run_stops_once_its_delegate_says_that_all_is_gone(desk: Desk, gone: bool) -> None:
    """Never before; a delegate that does not say so leaves it to the deadline, with the reason."""
    desk.bring()
    desk.stop()
    (abort,) = desk.lease()
    desk.report(abort, "SUCCESS")
    desk.follow(STOP_NS / SECONDS - 0.1)
    assert desk.task("remove") is None
    desk.follow(0.1)
    (removal,) = desk.lease()
    wire = desk.wire(removal)
    assert [one["uid"] for one in wire["objects"]] == ["uid-1"]
    assert wire["injectors"] == {
        "namespace": "v2",
        "runID": desk.made.run_id,
        "runner": f"podsonar-run-{desk.made.run_id[:8]}",
    }
    desk.follow()
    assert not desk.record.completed
    desk.report(
        removal, "SUCCESS" if gone else "FAILED", gone=gone, message="" if gone else "Pod x: not gone after 300 s"
    )
    desk.follow()
    desk.follow()
    record = desk.record
    (text,) = {node.message for node in record.execution.steps.values()}
    if gone:
        assert (record.completed, record.execution.phase, record.score.stopped) == (True, "Stopped", 2)
        assert text == "released; confirmed by the delegate: the runner and its injectors are gone"
        return
    assert (record.completed, record.execution.phase) == (False, "Queued")
    assert "not confirmed (Pod x: not gone after 300 s); ends by itself no later than" in record.execution.message
    desk.end_by_deadline()
    assert desk.record.execution.phase == "Stopped"
    desk.follow()
    assert desk.lease() == []


def test_older_delegate_that_deletes_without_a_word_of_injectors_confirms_nothing(desk: Desk) -> None:
    """It knows nothing of them: SUCCESS says that the objects are gone."""
    desk.bring()
    desk.stop()
    (abort,) = desk.lease()
    desk.report(abort, "SUCCESS")
    desk.follow(11)
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", result="deleted")
    desk.follow()
    assert not desk.record.completed
    assert "not confirmed (the delegate did not say" in desk.record.execution.message


def test_runner_that_does_not_start_ends_the_run_with_the_reason_once_it_is_gone(desk: Desk) -> None:
    """The objects are there, so that it might start yet: they go first."""
    (task,) = desk.lease()
    desk.report(task, "FAILED", result="created", message="Deployment v2/r: not available after 60 s: ErrImagePull")
    desk.follow()
    assert not desk.record.completed
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", gone=True, result="deleted")
    desk.follow()
    record = desk.record
    assert (record.completed, record.execution.phase) == (True, "Error")
    assert record.error_response.endswith("not available after 60 s: ErrImagePull")


def test_run_that_no_delegate_took_in_time_is_timeout(desk: Desk) -> None:
    """Its task expires before its own deadline, which is later here."""
    sweep(desk.store, NOON + 601 * SECONDS, secrets.token_bytes, lambda _kind: None)
    desk.follow()
    assert desk.record.execution.phase == "Timeout"
    assert "the delegate brought no runner: no delegate asked for the task in time" in desk.record.error_response


@pytest.mark.parametrize("retained", [False, True])
def test_what_is_left_of_a_run_goes_unless_it_is_retained(desk: Desk, retained: bool) -> None:
    """By uid, once; a run is not looked at for ever."""
    desk.bring()
    desk.end_by_deadline(retained=retained)
    desk.follow()
    desk.follow()
    assert [task.kind for task in desk.lease()] == ([] if retained else ["delete"])
    desk.follow(LOOK_BACK_NS / SECONDS)
    assert (desk.task("remove") is None) is retained


def test_removal_that_failed_is_tried_again_and_not_for_ever(desk: Desk) -> None:
    """A node was away, or no delegate asked: ten minutes later, until the day is over."""
    desk.bring()
    desk.end_by_deadline()
    desk.follow()
    (removal,) = desk.lease()
    desk.report(removal, "FAILED", message="not gone after 300 s: no finalizer")
    desk.follow(AGAIN_NS / SECONDS - 1)
    assert desk.lease() == []
    desk.follow(1)
    (again,) = desk.lease()
    assert desk.wire(again)["objects"][0]["uid"] == "uid-1"
    desk.report(again, "SUCCESS", gone=True, result="deleted")
    desk.follow(AGAIN_NS / SECONDS)
    assert desk.lease() == []


def test_removal_that_goes_on_failing_is_tried_for_a_day_after_the_deadline(desk: Desk) -> None:
    """However new its last task is."""
    desk.bring()
    desk.now_ns = desk.record.deadline_ns
    desk.end_by_deadline()
    for seconds in (0, LOOK_BACK_NS / SECONDS - 1):
        desk.follow(seconds)
        (removal,) = desk.lease()
        desk.report(removal, "FAILED", message="not gone after 300 s: no finalizer")
    desk.follow(AGAIN_NS / SECONDS)
    assert desk.lease() == []


@pytest.mark.parametrize("desk", ["sqlite"], indirect=True)
def test_runs_are_found_by_indexes(desk: Desk) -> None:
    """Every second: neither every run nor every task that there ever was is read."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        asked.append((statement, parameters))

    event.listen(desk.store.engine, "before_cursor_execute", note)
    desk.follow()
    event.remove(desk.store.engine, "before_cursor_execute", note)
    selects = [one for one in asked if one[0].startswith("SELECT")]
    with desk.store.reading() as connection:
        for statement, parameters in selects:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert not [line for line in plan if "SCAN" in line], (statement, plan)
    assert len(selects) == 3


def run_that_no_delegate_took(desk: Desk) -> None:
    """Nothing was applied, and nothing is to be removed."""
    sweep(desk.store, NOON + 601 * SECONDS, secrets.token_bytes, lambda _kind: None)
    desk.follow()


def retained_run(desk: Desk) -> None:
    """Its runner stays."""
    desk.bring()
    desk.end_by_deadline(retained=True)


def run_that_cannot_be_removed(desk: Desk) -> None:
    """Its removal has failed."""
    run_that_is_being_removed(desk)
    removal = desk.task("remove")
    assert removal is not None
    desk.report(removal, "FAILED", message="not gone after 300 s: no finalizer")


def run_that_is_being_removed(desk: Desk) -> None:
    """A delegate is at it."""
    desk.bring()
    desk.end_by_deadline()
    desk.follow()
    desk.lease()


def run_whose_stop_is_not_confirmed(desk: Desk) -> None:
    """The runner is dead, and its removal has failed."""
    desk.bring()
    desk.stop()
    (abort,) = desk.lease()
    desk.report(abort, "SUCCESS")
    desk.follow(11)
    (removal,) = desk.lease()
    desk.report(removal, "FAILED", message="Pod x: not gone after 300 s")
    desk.follow()


@pytest.mark.parametrize(
    ("brought_about", "is_over"),
    [
        (retained_run, True),
        (run_that_cannot_be_removed, True),
        (run_that_no_delegate_took, True),
        (run_that_is_being_removed, False),
        (run_whose_stop_is_not_confirmed, False),
        (Desk.bring, False),
    ],
)
def test_run_that_waits_makes_no_transaction_that_writes(
    desk: Desk, brought_about: Callable[[Desk], None], is_over: bool
) -> None:
    """Seven looks, no write; one that is over, and can only wait, is read once, and then one statement finds it."""
    brought_about(desk)
    writes: list[float] = []
    statements: list[str] = []
    desk.store.on_transaction = writes.append

    @event.listens_for(desk.store.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    for _ in range(7):
        desk.follow(1)
    assert writes == []
    selects = [one for one in statements if one.startswith("SELECT")]
    assert (len(selects) == 7 + 2) is is_over
    assert {one for one in statements if not one.startswith("SELECT")} <= {"BEGIN"}


@pytest.mark.parametrize("desk", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
def test_stop_while_a_delegate_takes_the_task_tells_the_runner(desk: Desk) -> None:
    """Neither waits for the other, and the run does not end as one that nobody took."""
    with desk.store.writing() as connection:
        assert lease_tasks(connection, DELEGATE, (), desk.now_ns)
        desk.stop()
    brought, abort = desk.task("run"), desk.task("abort")
    assert brought is not None
    assert abort is not None
    assert (brought.status, abort.status, desk.record.completed) == ("RUNNING", "PROCESSED", False)
