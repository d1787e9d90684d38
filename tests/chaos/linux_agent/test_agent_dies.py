"""The agent is killed at eight points, the manager stands still: one injection at most, and the result arrives.

By hand with `MANAGER_AWAY=600`; else the manager stands still until the agent has given up the fault.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import Manager
from tests.chaos.control.linux.conftest import Host, admin_key
from tests.chaos.linux_agent.conftest import AgentProcess, agent_on, cpu_stress
from tests.manager.manager_process import ManagerProcess, manager_process

pytestmark = [pytest.mark.kernel, pytest.mark.long]

AWAY_SECONDS = int(os.environ.get("MANAGER_AWAY", "0"))


def probe(mode: str, command: str) -> dict[str, Any]:
    """A probe that passes."""
    comparator = {"type": "string", "criteria": "contains", "value": ""}
    properties = {"probeTimeout": "20s", "probePollingInterval": "1h"}
    inputs = {"command": command, "comparator": comparator}
    return {
        "name": mode,
        "type": "cmdProbe",
        "mode": mode,
        "cmdProbe/inputs": inputs,
        "runProperties": properties,
    }


def action(folder: Path, seconds: float = 2.0) -> dict[str, Any]:
    """Each injection adds a line to a file, since an OnChaos probe begins with it."""
    probes = [
        probe("SOT", f"echo x >> {folder}/sot; sleep 0.7"),
        probe("OnChaos", f"echo x >> {folder}/injections"),
        probe("EOT", f"echo x >> {folder}/eot; sleep 0.7"),
    ]
    found: dict[str, Any] = cpu_stress(seconds, probes)
    return found


def lines_in(path: Path) -> int:
    """How many lines a file has; 0 without one."""
    return len(path.read_text().split()) if path.exists() else 0


POINTS: dict[str, Callable[[AgentProcess, str], Any]] = {
    "at its start": lambda _agent, _name: True,
    "when the key is kept": lambda agent, _name: (agent.folder / "state/access-key").exists(),
    "when the task is in the journal": lambda agent, _name: list((agent.folder / "state/journal").glob("*.json")),
    "when it is running": lambda agent, name: agent.host.task(name)["status"] == "Running",
    "in the steady state before": lambda agent, _name: lines_in(agent.folder / "sot"),
    "while the fault is in": lambda agent, _name: lines_in(agent.folder / "injections"),
    "in the steady state after": lambda agent, _name: lines_in(agent.folder / "eot"),
    "when the result is taken": lambda agent, name: agent.host.task(name)["result"],
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_agent_injects_once_at_most_and_the_result_arrives(tmp_path: Path, point: str) -> None:
    """A task that was begun is reported as interrupted; one that was not runs after the restart."""
    with agent_on(tmp_path) as agent:
        if point in list(POINTS)[:2]:
            agent.wait(lambda: POINTS[point](agent, ""))
            made = agent.host.make(action=action(tmp_path))
        else:
            made = agent.host.make(action=action(tmp_path))
            agent.wait(lambda: POINTS[point](agent, made["taskName"]))
        agent.end(signal.SIGKILL)
        agent.start()
        task = agent.ended_task(made["taskName"])
        agent.wait(lambda: not list((tmp_path / "state/results").glob("*.json")))
        assert lines_in(tmp_path / "injections") <= 1
        result = task["result"]["result"]
        if result["verdict"] == "Error":
            assert result["errorOutput"]["errorCode"] == "E1103: INTERRUPTED"
        else:
            assert (result["verdict"], lines_in(tmp_path / "injections")) == ("Pass", 1)
        # The host is good for the next task.
        again = agent.host.make(action=cpu_stress(0.5))
        assert agent.ended_task(again["taskName"])["result"]["result"]["verdict"] == "Pass"


def test_agent_that_is_told_to_end_releases_the_fault_and_keeps_the_result(tmp_path: Path) -> None:
    """SIGTERM while the fault is in: `Stopped`, long before its time."""
    with agent_on(tmp_path) as agent:
        made = agent.host.make(action=action(tmp_path, 300))
        agent.wait(lambda: lines_in(tmp_path / "injections"))
        agent.end(signal.SIGTERM)
        assert agent.process is not None
        assert agent.process.returncode == 0
        agent.start()
        task = agent.ended_task(made["taskName"])
        assert task["status"] == "Stopped"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ManagerProcess]:
    """A manager in a process of its own."""
    with manager_process(tmp_path) as made:
        yield made


@pytest.mark.timeout(300 + AWAY_SECONDS)
def test_manager_that_stands_still_lets_the_fault_end_and_gets_the_result(
    tmp_path: Path, served: ManagerProcess
) -> None:
    """25 s without an answer release a fault of five minutes; the result arrives when the manager goes on."""
    manager = Manager(served.url, served.database, served.key, "")
    host = Host(manager, admin_key(manager), "", "")
    made = host.person("POST", "/infras", {"name": "host"}).json()
    host.id, host.key = made["infraID"], made["accessKey"]
    (tmp_path / "key").write_text(host.key)
    agent = AgentProcess(host, tmp_path, served.url)
    agent.start()
    try:
        task = host.make(action=cpu_stress(300, [probe("OnChaos", f"echo x >> {tmp_path}/injections")]))
        agent.wait(lambda: lines_in(tmp_path / "injections"))
        served.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        agent.wait(lambda: list((tmp_path / "state/results").glob("*.json")), 90)
        until = stopped + AWAY_SECONDS
        agent.wait(lambda: time.monotonic() > until, AWAY_SECONDS + 60)
        assert lines_in(tmp_path / "injections") == 1
        served.process.send_signal(signal.SIGCONT)
        result = agent.ended_task(task["taskName"])["result"]["result"]
        assert result["errorOutput"]["errorCode"] == "E1102: CONTACT_LOST"
    finally:
        served.process.send_signal(signal.SIGCONT)
        agent.end(signal.SIGTERM)


def test_stop_is_released_within_six_seconds(tmp_path: Path) -> None:
    """From the request to the end of the fault; the task says `Stopped` once the agent has released it."""
    with agent_on(tmp_path) as agent:
        agent.prefer()
        made = agent.host.make(action=action(tmp_path, 300))
        agent.wait(lambda: lines_in(tmp_path / "injections"))
        assert agent.host.person("POST", f"/tasks/{made['taskName']}/stop", {"reason": "enough"}).status_code == 200
        began = time.monotonic()
        task = agent.ended_task(made["taskName"])
        assert time.monotonic() - began < 6.0
        assert (task["status"], task["result"]["result"]["verdict"]) == ("Stopped", "Stopped")
        over = [one for one in agent.host.manager.lines(made["streamID"]) if "is over" in one["out"]]
        assert [one["args"]["by"] for one in over] == ["G2"]
