"""Durations and numbers of tries that no clock holds: refused where they are ordered, by both APIs."""

from typing import Any

import orjson
import pytest

from tests.chaos.control.experiments.test_kserver import MANIFEST, Run
from tests.chaos.control.experiments.test_kserver import run as run  # noqa: PLC0414 - a fixture
from tests.chaos.control.linux.conftest import Host, sample

BEYOND = [
    pytest.param("probeTimeout", 1e300, "runProperties.probeTimeout is '1e+300', expected 0 s to 24h", id="float"),
    pytest.param("probeTimeout", -1, "runProperties.probeTimeout is '-1.0', expected 0 s to 24h", id="negative"),
    pytest.param("probeTimeout", "9" * 400, "999', expected 0 s to 24h", id="text beyond floats"),
    pytest.param("probeTimeout", "9" * 400 + "h", "999', expected 0 s to 24h", id="hours beyond floats"),
    pytest.param("interval", (1 << 64) - 1, "expected 0 s to 24h", id="64 bits"),
    pytest.param("interval", "1440m1s", "runProperties.interval is '1440m1s', expected 0 s to 24h", id="a day and 1 s"),
    pytest.param("initialDelay", "2147483648", "expected 0 s to 24h", id="31 bits"),
    pytest.param("attempt", (1 << 64) - 1, "is tried 18446744073709551615 times: expected at most 10000", id="tries"),
    pytest.param("retry", 10_000, "is tried 10001 times: expected at most 10000", id="retries"),
    pytest.param("attempt", 2881, "may take 86430 s a round: expected no more than 24h", id="tries of 30 s"),
]
WITHIN = [("probeTimeout", "24h"), ("probeTimeout", 0), ("interval", "1439m"), ("attempt", 2000), ("initialDelay", 1.5)]


def properties(name: str, value: Any) -> dict[str, Any]:
    """Properties of a probe in which one member is odd; a try takes 30 s else."""
    given: dict[str, Any] = {"probeTimeout": "30s", "interval": "0s", "attempt": 1}
    return given | ({"probeTimeout": "1s"} if name == "retry" else {}) | {name: value}


def order(name: str, value: Any) -> dict[str, Any]:
    """A run with such a probe."""
    manifest: dict[str, Any] = orjson.loads(orjson.dumps(MANIFEST))
    task = manifest["spec"]["tasks"][0]
    task["probeRef"] = [{"probeID": "p", "mode": "SOT"}]
    inputs = {"url": "http://shop.example/"}
    probe = {"name": "p", "type": "httpProbe", "httpProbe/inputs": inputs, "runProperties": properties(name, value)}
    manifest["spec"]["probes"] = [probe]
    return {"infraID": "prod", "experiment": manifest}


@pytest.mark.parametrize(("name", "value", "expected"), BEYOND)
def test_run_with_such_a_probe_is_refused(run: Run, name: str, value: Any, expected: str) -> None:
    """Its deadline could not be stored."""
    answer = run.person("POST", "", order(name, value))
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["message"]


@pytest.mark.parametrize(("name", "value", "expected"), BEYOND)
def test_task_of_a_host_with_such_a_probe_is_refused(host: Host, name: str, value: Any, expected: str) -> None:
    """As for runs."""
    action = sample("task")["taskList"][0]["action"]
    action["chaos"]["probes"][0]["runProperties"] = properties(name, value)
    answer = host.person("POST", "/tasks", {"infra": host.id, "name": "x", "action": action})
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["message"]


@pytest.mark.parametrize(("name", "value"), WITHIN)
def test_longest_durations_are_taken(run: Run, host: Host, name: str, value: Any) -> None:
    """Up to a day."""
    assert run.person("POST", "", order(name, value)).status_code == 201
    action = sample("task")["taskList"][0]["action"]
    action["chaos"]["probes"][0]["runProperties"] = properties(name, value)
    assert host.make(action=action)["taskName"]


@pytest.mark.parametrize("duration", ["86401", "25h", "9" * 5000])
def test_fault_of_a_host_that_lasts_longer_than_a_day_is_refused(host: Host, duration: str) -> None:
    """Named as what it is."""
    action = sample("task")["taskList"][0]["action"]
    inputs = action["chaos"]["experimentInputs"]
    action["chaos"]["experimentInputs"] = [one for one in inputs if one["name"] != "Duration"]
    action["chaos"]["experimentInputs"].append({"name": "Duration", "value": duration})
    answer = host.person("POST", "/tasks", {"infra": host.id, "name": "x", "action": action})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        f"Duration is {duration[:40]!r}, expected 0 s to 24h",
    )
