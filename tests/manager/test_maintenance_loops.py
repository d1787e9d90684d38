"""manager/maintenance_loops.py: a defect in one loop of maintenance ends neither it nor another."""

import sqlite3
import time
from pathlib import Path

import anyio
import pytest

from manager.maintenance_loops import keep_going, run_loops
from manager.parts import PartContext, PartRoutes
from manager.server import serving
from podsonar.supervised import Backoff
from tests.manager.conftest import CLIENT
from tests.manager.fresh_database import migrated


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, RecursionError, MemoryError, sqlite3.DatabaseError])
def test_loop_that_raises_begins_again_and_is_counted(error: type[Exception]) -> None:
    """Every error of any type is counted under the loop's name; afterwards the loop runs."""
    failed, begun = [], []

    async def run() -> None:
        runs = anyio.Event()

        async def loop() -> None:
            begun.append(1)
            if len(begun) < 4:
                raise error
            runs.set()
            await anyio.sleep_forever()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep_going, "maps", loop, failed.append, Backoff(0.001, 0.002))
                await runs.wait()
                tasks.cancel_scope.cancel()

    anyio.run(run)
    assert failed == ["maps"] * 3


def test_neighbours_of_a_loop_that_raises_go_on() -> None:
    """The group of loops is not cancelled by one of them, and ends with its own cancellation."""
    failed: list[str] = []

    async def run() -> None:
        went_on = anyio.Event()

        async def broken() -> None:
            raise ValueError

        async def steady() -> None:
            turns_after = 0
            while True:
                turns_after += bool(failed)
                if turns_after > 3:
                    went_on.set()
                await anyio.sleep(0.01)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_loops, {"maps": broken, "outdated": steady}, failed.append)
                await went_on.wait()
                tasks.cancel_scope.cancel()

    anyio.run(run)
    assert set(failed) == {"maps"}


def test_manager_counts_a_loop_that_raises_and_goes_on(tmp_path: Path) -> None:
    """A part whose loop raises once: the manager is ready, runs it again, and its metrics name it."""
    begun: list[int] = []

    async def raises_once() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise KeyError
        await anyio.sleep_forever()

    def part(_context: PartContext) -> PartRoutes:
        return PartRoutes([], {"runs": raises_once})

    database = f"sqlite:///{tmp_path}/manager.db"
    migrated(database)
    with serving(database, parts=[part]) as url:
        ends = time.monotonic() + 60
        while len(begun) < 2 and time.monotonic() < ends:
            time.sleep(0.05)
        assert CLIENT.get(f"{url}/readyz").status_code == 200
        text = CLIENT.get(f"{url}/metrics").text
    assert len(begun) == 2
    assert 'podsonar_manager_loop_failures_total{loop="runs"} 1.0' in text
    assert 'podsonar_manager_loop_failures_total{loop="maps"} 0.0' in text
