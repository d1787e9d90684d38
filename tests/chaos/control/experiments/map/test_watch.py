"""chaos/control/experiments/map/watch.py: which windows an edge is compared with, on a real manager.

The manager's own loop does not run: the tests look when they want.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from chaos.control.experiments.map.watch import MapWatch
from chaos.control.mount import mount_chaos
from manager.parts import PartContext, PartRoutes
from manager.server import serving
from podsonar.model import Purpose
from tests.chaos.control.experiments.judged_run import JudgedRun, order_run
from tests.chaos.control.experiments.test_kserver import TENANT as QUERY
from tests.chaos.observed_shop import LOAD, Counts
from tests.manager.conftest import CLIENT
from tests.manager.fresh_database import migrated

BROKEN, CUT = Counts(0, 20), {"cart": Counts(0, 20)}
WINDOWS = {"seconds": 20, "baseline": 2}
SAID = f"edge outside the prediction: {LOAD}: broken: 0 of 20 attempts established in window"


class Watching(NamedTuple):
    """A manager without its loops, and what would look at its runs."""

    url: str
    database: str
    watch: MapWatch

    def order(self, *, windows: bool = True) -> JudgedRun:
        """A run whose step has begun."""
        spec = {"windows": WINDOWS} if windows else {}
        return order_run(self.url, self.database, **spec)

    def stop_reason(self, run: JudgedRun) -> str:
        """Why the run is asked to stop after one more look; empty if it is not."""
        self.watch.step()
        url, headers = f"{self.url}/v1/chaos/runs/{run.ids['runID']}", {"X-API-Key": run.key}
        asked = CLIENT.get(url, params=QUERY, headers=headers).json()["data"].get("stopRequested")
        return str(asked["reason"]) if asked else ""


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    """One manager for all tests: each run has an infrastructure of its own."""
    database = f"sqlite:///{tmp_path_factory.mktemp('manager')}/manager.db"
    migrated(database)
    made: list[PartContext] = []

    def routes_alone(context: PartContext) -> PartRoutes:
        made.append(context)
        return PartRoutes(mount_chaos(context).routes)

    with serving(database, parts=(routes_alone,)) as url:
        yield Watching(url, database, MapWatch(made[0]))


def own(run: JudgedRun, kind: str) -> Purpose:
    """The purpose of a window that the run ordered."""
    return Purpose(run.ids["runID"], kind)


def begin(run: JudgedRun) -> None:
    """The runner says that its step runs."""
    run.post(completed=False, phase="Running", verdict="Awaited")


def test_edge_that_was_broken_before_the_run_and_held_in_its_own_baseline_ends_it(watching: Watching) -> None:
    """The window of the schedule is an hour old; what counts is what was seen right before the fault."""
    run = watching.order()
    run.window(-300, load=BROKEN)
    run.window(-45, purpose=own(run, "baseline"))
    run.window(-25, purpose=own(run, "baseline"))
    begin(run)
    fault = run.window(5, load=BROKEN, **CUT, purpose=own(run, "fault"))
    assert watching.stop_reason(run) == f"{SAID} {fault}"


def test_edge_that_was_broken_in_the_own_baseline_ends_nothing(watching: Watching) -> None:
    """It held an hour ago, and this fault did not break it."""
    run = watching.order()
    run.window(-300)
    run.window(-25, load=BROKEN, purpose=own(run, "baseline"))
    begin(run)
    run.window(5, load=BROKEN, **CUT, purpose=own(run, "fault"))
    assert watching.stop_reason(run) == ""


def test_baseline_that_comes_late_counts_from_the_next_look_on(watching: Watching) -> None:
    """Nothing is compared with another run's baseline, or with what nobody has told yet; then the edge is named."""
    run = watching.order()
    run.window(-70, purpose=Purpose("another", "baseline"))
    begin(run)
    fault = run.window(5, load=BROKEN, **CUT, purpose=own(run, "fault"))
    assert watching.stop_reason(run) == ""
    run.window(-25, nodes="a", purpose=own(run, "baseline"))
    assert watching.stop_reason(run) == ""  # node-b, on which the edge begins, has told nothing
    run.window(-25, nodes="b", purpose=own(run, "baseline"))
    assert watching.stop_reason(run) == f"{SAID} {fault}"


def test_window_of_the_baseline_that_a_node_missed_blinds_nothing(watching: Watching) -> None:
    """Another one that both nodes observed is enough to end the run; only a verdict needs all of them."""
    run = watching.order()
    run.window(-45, nodes="a", purpose=own(run, "baseline"))
    run.window(-25, purpose=own(run, "baseline"))
    begin(run)
    fault = run.window(5, load=BROKEN, **CUT, purpose=own(run, "fault"))
    assert watching.stop_reason(run) == f"{SAID} {fault}"


def test_run_whose_baseline_nobody_observed_is_named_once(
    watching: Watching, capfd: pytest.CaptureFixture[str]
) -> None:
    """It goes on, and the log says why nothing can end it."""
    run = watching.order()
    run.window(-300)
    begin(run)
    run.window(5, load=BROKEN, purpose=own(run, "fault"))
    assert [watching.stop_reason(run) for _ in range(3)] == ["", "", ""]
    said = [
        line for line in capfd.readouterr().out.splitlines() if "run_not_watched" in line and run.ids["runID"] in line
    ]
    assert len(said) == 1
    assert "no baseline window that was ordered for this run was observed" in said[0]


def test_run_without_windows_of_its_own_is_compared_with_those_before_it(watching: Watching) -> None:
    """Those of the schedule, as its report."""
    run = watching.order(windows=False)
    run.window(-300)
    begin(run)
    fault = run.window(5, load=BROKEN, **CUT)
    assert watching.stop_reason(run) == f"{SAID} {fault}"
