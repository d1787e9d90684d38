"""What the map says of a run, on a real manager with windows of real batches: the report, or why there is none."""

from typing import Any

import pytest

from podsonar.model import Purpose
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.judged_run import JudgedRun, order_run
from tests.chaos.control.experiments.test_kserver import TENANT as QUERY
from tests.chaos.observed_shop import CART, DB, LOAD, Counts
from tests.manager.conftest import CLIENT

BROKEN, HALF = Counts(0, 20), Counts(10, 10)


@pytest.fixture
def run(manager: Manager) -> JudgedRun:
    """A run that has just been ordered."""
    return order_run(manager.url, manager.database)


def test_run_that_is_over_has_the_report_of_its_windows(run: JudgedRun) -> None:
    """The predicted edge broke, another degraded: a surprise. Windows across a step's begin or end are no fault's."""
    before = run.window(-60)
    run.window(-5)
    fault = run.window(5, cart=BROKEN, db=HALF)
    run.window(55)
    after = run.window(65)
    run.post(completed=True)
    found = run.impact()
    assert [(one["kind"], one["id"]) for one in found["windows"]][-2:] == [("fault", fault), ("recovery", after)]
    assert before in {one["id"] for one in found["windows"] if one["kind"] == "baseline"}
    report = found["report"]
    assert (found["reason"], found["settled"], report["verdict"]) == ("", True, "Fail")
    assert (report["surprises"], report["predictedAndSeen"]) == ([DB], [CART])
    assert [one["edge"] for one in report["prediction"]["direct"]] == [CART]
    states = {one["edge"]: (one["state"], one["recovery"]) for one in report["edges"]}
    assert (states[CART], states[DB], states[LOAD]) == (("broken", "ok"), ("degraded", "ok"), ("ok", "ok"))


def test_windows_that_were_ordered_for_another_fault_are_in_no_baseline(run: JudgedRun) -> None:
    """What is broken in them is another run's doing; quiet windows on order count as others do."""
    quiet = run.window(-90, purpose=Purpose("another", "baseline"))
    run.window(-60, cart=BROKEN, purpose=Purpose("another", "fault"))
    run.window(-30, cart=HALF, purpose=Purpose("another", "recovery"))
    run.window(5, cart=BROKEN, purpose=Purpose(run.ids["runID"], "fault"))
    run.post(completed=True)
    found = run.impact()
    assert [one["id"] for one in found["windows"] if one["kind"] == "baseline"] == [quiet]
    assert found["report"]["verdict"] == "Pass"


def test_windows_that_were_ordered_for_another_run_are_no_recovery(run: JudgedRun) -> None:
    """Its fault may be on in them: of the windows behind this run the next ones count."""
    run.window(-60)
    run.window(5, cart=BROKEN)
    run.window(65, cart=BROKEN, purpose=Purpose("another", "fault"))
    own = run.window(95, purpose=Purpose(run.ids["runID"], "recovery"))
    after = run.window(125)
    run.post(completed=True)
    found = run.impact()
    assert [one["id"] for one in found["windows"] if one["kind"] == "recovery"] == [own, after]
    assert {one["edge"]: one["recovery"] for one in found["report"]["edges"]}[CART] == "ok"


def test_run_with_windows_of_its_own_is_judged_by_these(manager: Manager) -> None:
    """Its own baseline, not the one before it; without it there is no report, and the reason says so."""
    run = order_run(manager.url, manager.database, windows={"seconds": 20, "baseline": 2})
    run.window(-100)
    fault = run.window(5, cart=BROKEN, purpose=Purpose(run.ids["runID"], "fault"))
    run.post(completed=True)
    found = run.impact()
    said = "no baseline window that was ordered for this run was observed"
    assert (found["report"], found["reason"]) == (None, said)
    assert [(one["kind"], one["id"]) for one in found["windows"]] == [("fault", fault)]
    run.window(-70, purpose=Purpose("another", "baseline"))
    own = [run.window(at, purpose=Purpose(run.ids["runID"], "baseline")) for at in (-45, -25)]
    run.window(-4, cart=BROKEN, purpose=Purpose(run.ids["runID"], "baseline"))  # not over when the step began
    found = run.impact()
    assert [one["id"] for one in found["windows"] if one["kind"] == "baseline"] == own
    assert (found["reason"], found["report"]["verdict"]) == ("", "Pass")


def test_run_with_windows_of_its_own_has_time_to_wait_for_them(manager: Manager) -> None:
    """A group may wait five minutes for room, the lead of an order, its baseline, and the recovery before it."""

    def seconds(**spec: Any) -> int:
        run = order_run(manager.url, manager.database, **spec)
        url = f"{manager.url}/v1/chaos/runs"
        items = CLIENT.get(url, params=QUERY, headers={"X-API-Key": run.key}).json()["items"]
        (found,) = [one for one in items if one["runID"] == run.ids["runID"]]
        return (parse_rfc3339(found["deadline"]) - parse_rfc3339(found["createdAt"])) // NS_PER_SECOND

    assert seconds(windows={"seconds": 20, "baseline": 2, "recovery": 1}) - seconds() == 15 + 2 + 300 + 3 * 20


def test_ordered_windows_that_a_node_did_not_observe_pass_nothing(manager: Manager) -> None:
    """N/A with the node, never Pass: its agent did not listen."""
    run = order_run(manager.url, manager.database, windows={"seconds": 20, "baseline": 1})
    run.window(-45, purpose=Purpose(run.ids["runID"], "baseline"))
    run.window(5, cart=BROKEN, nodes="a", purpose=Purpose(run.ids["runID"], "fault"))
    run.post(completed=True)
    report = run.impact()["report"]
    assert report["verdict"] == "N/A"
    assert any("node-b" in reason for reason in report["reasons"])


def test_run_that_runs_has_what_was_seen_so_far(run: JudgedRun) -> None:
    """Not settled, and nothing is a recovery yet."""
    run.window(-60)
    run.window(5, cart=BROKEN)
    run.post(completed=False, phase="Running", verdict="Awaited")
    found = run.impact()
    assert (found["settled"], found["report"]["verdict"]) == (False, "Pass")
    assert {one["kind"] for one in found["windows"]} == {"baseline", "fault"}


@pytest.mark.parametrize(
    ("windows", "begun", "expected"),
    [
        pytest.param([-60, 5], False, "no step has begun", id="not begun"),
        pytest.param([-60, 50], True, "no window lies within the time of the steps", id="no window of the fault"),
    ],
)
def test_without_a_window_there_is_a_reason_instead_of_a_report(
    run: JudgedRun, windows: list[float], begun: bool, expected: str
) -> None:
    """Never a verdict of nothing."""
    for after in windows:
        run.window(after)
    if begun:
        run.post(completed=True)
    found = run.impact()
    assert (found["report"], expected in found["reason"]) == (None, True), found


def test_without_a_hypothesis_nothing_is_claimed(manager: Manager) -> None:
    """The prediction is there all the same, the verdict is N/A."""
    run = order_run(manager.url, manager.database, hypothesis=None)
    run.window(-60)
    run.window(5, cart=BROKEN)
    run.post(completed=True)
    report = run.impact()["report"]
    assert (report["verdict"], report["predictedAndSeen"], report["surprises"]) == ("N/A", [CART], [])


def test_infrastructure_that_no_agent_observes(run: JudgedRun, manager: Manager) -> None:
    """Another one than the agent's: the reason names it; another tenant's run is not there."""
    body = {"infraID": "nobody", "experiment": manifest_of(run)}
    headers = {"X-API-Key": run.key}
    made = CLIENT.post(f"{manager.url}/v1/chaos/runs", params=QUERY, headers=headers, json=body).json()
    path = f"{manager.url}/v1/chaos/runs/{made['runID']}/impact"
    found = CLIENT.get(path, params=QUERY, headers=headers).json()
    assert (found["report"], found["reason"]) == (None, "no agent nobody observes this infrastructure")
    other = QUERY | {"projectIdentifier": "another"}
    assert CLIENT.get(path, params=other, headers={"X-API-Key": run.key}).status_code == 404


def manifest_of(run: JudgedRun) -> Any:
    """The experiment of a run."""
    headers = {"X-API-Key": run.key}
    answer = CLIENT.get(f"{run.url}/v1/chaos/runs/{run.ids['runID']}", params=QUERY, headers=headers)
    return answer.json()["data"]["experimentYaml"]
