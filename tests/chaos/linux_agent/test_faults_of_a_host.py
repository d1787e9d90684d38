"""Memory, processes and packets of a host: what is hit, what is never hit, and what the log says."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults.conftest import Victim
from tests.chaos.faults.conftest import victim as victim  # noqa: PLC0414 - a fixture
from tests.chaos.linux_agent.conftest import AgentProcess, agent_on

pytestmark = [pytest.mark.kernel, pytest.mark.long]


def action(experiment: str, **inputs: str) -> dict[str, Any]:
    """A task's action without probes."""
    found = [{"name": name, "value": value} for name, value in inputs.items()]
    return {"chaos": {"experiment": experiment, "experimentInputs": found}}


def ended(agent: AgentProcess, wanted: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of a task, and its lines."""
    made = agent.host.make("experiment", wanted)
    result: dict[str, Any] = agent.ended_task(made["taskName"])["result"]["result"]
    return result, agent.host.manager.lines(made["streamID"])


def test_memory_is_held_and_given_back(agent: AgentProcess) -> None:
    """Two processes hold 64 MiB together for as long as was asked."""
    result, lines = ended(agent, action("linux-memory-stress", Memory="64m", Workers="2", Duration="1s"))
    assert (result["taskStatus"], result["verdict"], result["probeSuccessPercentage"]) == ("Completed", "Pass", "100")
    over = lines[-2] if "steady state" in lines[-1]["out"] else lines[-1]
    assert (over["args"]["by"], int(float(over["args"]["bytes"]))) == ("G1", 64 << 20)


def sleeper(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """A process of a name of its own."""
    program = folder / name
    with suppress(FileExistsError):
        program.symlink_to("/bin/sleep")
    return subprocess.Popen([str(program), "1000"])


def test_processes_are_killed_by_name_and_protected_ones_stay(agent: AgentProcess, tmp_path: Path) -> None:
    """Those of a name are gone; one called sshd stays, even if it is named."""
    name = f"victim{os.getpid()}"
    victims = [sleeper(tmp_path, name) for _ in range(3)]
    protected = sleeper(tmp_path, "sshd")
    try:
        result, lines = ended(agent, action("linux-process-kill", ProcessNames=f"{name},sshd", ForceKill="true"))
        assert result["verdict"] == "Pass", lines
        assert [victim.wait(10) for victim in victims] == [-signal.SIGKILL] * 3
        assert protected.poll() is None
        assert [one["args"]["killed"] for one in lines if "signalled" in one["out"]] == ["3"]
    finally:
        for process in (*victims, protected):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (action("linux-process-kill", ProcessIDs="1"), "process 1"),
        (action("linux-process-kill", ProcessNames="no-such-program"), "no process has one of the names"),
        (action("linux-cpu-stress", Workers="1", Load="101", Duration="1s"), "load is 101"),
        (action("linux-memory-stress", Memory="much", Duration="1s"), "Memory is 'much'"),
        (action("linux-network-loss", Duration="1s"), "expected destinationIPs"),
        (
            action("linux-network-loss", NetworkInterfaces="eth0", DestinationIPs="192.0.2.1", Duration="1s"),
            "Interfaces",
        ),
        (action("linux-disk-fill", Duration="1s"), "expected one of linux-cpu-stress"),
    ],
)
def test_what_cannot_be_injected_is_an_error_with_its_reason(
    shared_agent: AgentProcess, wanted: dict[str, Any], reason: str
) -> None:
    """Nothing is injected, and the reason is in the result."""
    result, _lines = ended(shared_agent, wanted)
    assert (result["verdict"], result["errorOutput"]["errorCode"]) == ("Error", "E1101: CHAOS_INJECT_ERROR")
    assert reason in result["errorOutput"]["reason"]


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for tasks that inject nothing."""
    with agent_on(tmp_path_factory.mktemp("agent")) as made:
        yield made


def test_packets_are_lost_while_the_agent_stays_connected(tmp_path: Path, victim: Victim) -> None:
    """The agent is in the cgroup that the fault is for: what it hears from the manager is exempt.

    SIGKILL of the agent lets traffic through at once.
    """
    with agent_on(tmp_path, PODSONAR_LINUX_CGROUP=str(victim.cgroup)) as agent:
        assert agent.process is not None
        (victim.cgroup / "cgroup.procs").write_text(str(agent.process.pid))
        assert victim.error("127.0.0.2", source="127.0.0.3") is None
        wanted = action("linux-network-loss", DestinationIPs="127.0.0.0/8,::1", Duration="300s")
        made = agent.host.make("loss", wanted)
        agent.wait(lambda: victim.error("127.0.0.2", source="127.0.0.3") == "TimeoutError")
        heard = agent.host.task(made["taskName"])["heardAt"]
        agent.wait(lambda: agent.host.task(made["taskName"])["heardAt"] != heard)
        agent.end(signal.SIGKILL)
        until = time.monotonic() + 5
        while victim.error("127.0.0.2", source="127.0.0.3") is not None:
            assert time.monotonic() < until
