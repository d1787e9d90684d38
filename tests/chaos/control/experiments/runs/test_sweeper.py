"""The sweep of runs whose deadline has passed."""

from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.sweeper import sweep
from tests.chaos.control.experiments.delegated.run_desk import Desk
from tests.chaos.control.experiments.delegated.run_desk import desk as desk  # noqa: PLC0414 - a fixture


def test_sweep_writes_only_where_a_deadline_has_passed(desk: Desk) -> None:
    """Once for the run: an open one and one that is over make no transaction that writes."""
    writes: list[float] = []
    desk.store.on_transaction = writes.append
    deadline_ns = desk.record.deadline_ns
    turns = [(-1, []), (0, [desk.made.run_id]), (1, [])]
    for after_ns, ended in turns:
        assert sweep(desk.store, lambda: deadline_ns + after_ns, EachRun()) == ended  # noqa: B023 - called at once
    assert len(writes) == 1
    assert desk.record.completed
