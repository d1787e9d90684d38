"""Events and orders that are within their bounds, and would together make a state that nobody could read again."""

from typing import Any

import pytest

from tests.chaos.control.experiments.test_kserver import INFRA, MANIFEST, Run
from tests.chaos.control.experiments.test_kserver import run as run  # noqa: PLC0414 - a fixture
from tests.manager.conftest import CLIENT

STEP = "api-payload-test-pod-delete-wm3"


def with_more_nodes(execution: dict[str, Any], name: str, number: int, text: str = "") -> dict[str, Any]:
    """An execution with so many more steps."""
    step = execution["nodes"][STEP]
    more = {f"{name}-{place}": step | {"children": None, "message": text} for place in range(number)}
    return execution | {"nodes": execution["nodes"] | more}


def assert_readable(run: Run) -> None:
    """The run is read by its runner and by people, alone and in the list."""
    assert run.data()["experimentRunID"] == run.ids["runID"]
    assert run.person("GET", f"/{run.ids['runID']}").status_code == 200
    assert run.person("GET", f"/{run.ids['runID']}/impact").status_code == 200
    listed = run.person("GET", "")
    assert listed.status_code == 200
    assert run.ids["runID"] in {one["runID"] for one in listed.json()["items"]}


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        pytest.param(200, "", "the run's state could not be read again: Expected `object` of length", id="nodes"),
        pytest.param(100, "m" * 4000, "the run's state would have", id="bytes"),
        pytest.param(60, "\u2028" * 4000, "the run's state would have", id="bytes of wide characters"),
    ],
)
def test_events_whose_sum_is_too_much_are_refused(run: Run, number: int, text: str, expected: str) -> None:
    """The event that goes too far is 400 with the bound; the state before it stays, and can be read."""
    execution = run.data()["executionData"]
    answers = [run.event(with_more_nodes(execution, name, number, text)) for name in "abc"]
    assert answers[0].status_code == 200, answers[0].text
    assert answers[-1].status_code == 400, answers[-1].text
    assert expected in answers[-1].json()["message"]
    assert_readable(run)


@pytest.mark.parametrize(
    "place", ["creationTimestamp", "startedAt", "finishedAt", "node startedAt", "node finishedAt", "lastUpdatedAt"]
)
def test_time_that_no_date_has_is_refused(run: Run, place: str) -> None:
    """Twelve digits of seconds may be behind the year 9999."""
    execution = run.data()["executionData"]
    at = execution["nodes"][STEP] if place.startswith("node") else execution
    at = execution["nodes"][STEP]["chaosData"] if place == "lastUpdatedAt" else at
    at[place.rpartition(" ")[2]] = "253402300800"
    answer = run.event(execution)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "event: time 253402300800: expected seconds since 1970, at most 253402300799",
    )
    assert_readable(run)


def test_names_that_make_a_key_too_long_are_refused(run: Run) -> None:
    """Experiment and step may have 256 characters each, a key of both as many: nothing is stored."""
    task = MANIFEST["spec"]["tasks"][0] | {"name": "t" * 200}
    spec = MANIFEST["spec"] | {"tasks": [task], "steps": [[{"name": "t" * 200}]]}
    manifest = MANIFEST | {"metadata": {"name": "n" * 200, "namespace": "hce"}, "spec": spec}
    answer = run.person("POST", "", {"infraID": INFRA, "experiment": manifest})
    assert answer.status_code == 400, answer.text
    assert "the run's state could not be read again: Expected `str` of length <= 256" in answer.json()["message"]
    assert_readable(run)
    metrics = CLIENT.get(f"{run.url}/metrics").text
    assert 'podsonar_manager_loop_failures_total{loop="runs"} 0.0' in metrics
