"""The agent's process against a running manager."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import chaos_manager
from tests.chaos.control.linux.conftest import Host, admin_key

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass
class AgentProcess:
    """`podsonar linux-agent run`, started and started again over one state folder."""

    host: Host
    folder: Path
    url: str
    variables: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    log: Path = Path()

    def start(self) -> None:
        """Start; the log goes on in one file."""
        given = {
            "PODSONAR_MANAGER_URL": self.url,
            "PODSONAR_LINUX_ACCESS_KEY_FILE": str(self.folder / "key"),
            "PODSONAR_LINUX_STATE_FOLDER": str(self.folder / "state"),
            "PODSONAR_LINUX_HOSTNAME": "ip-172-31-13-123",
            "PODSONAR_LINUX_POLL_SECONDS": "0.2",
            "PODSONAR_LINUX_PROBE_FOLDER": str(self.folder),
        }
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-c", "from cli.main import main; main()", "linux-agent", "run"]
        self.log = self.folder / "agent.log"
        with self.log.open("ab") as written:
            self.process = subprocess.Popen(
                command,
                env=environment | given | self.variables,
                stdout=written,
                stderr=written,
                cwd=self.folder,
                start_new_session=True,
            )

    def prefer(self) -> None:
        """Give the agent, and what it starts, the processor before others: nice, and that of its session's group."""
        assert self.process is not None
        os.setpriority(os.PRIO_PROCESS, self.process.pid, -19)
        group = Path(f"/proc/{self.process.pid}/autogroup")
        if group.exists():
            group.write_text("-19")

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)

    def wait(self, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
        """What the condition gives once it gives something."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        return found

    def ended_task(self, name: str, seconds: float = 120.0) -> dict[str, Any]:
        """The task once it has a result."""
        found: dict[str, Any] = self.wait(lambda: (task := self.host.task(name))["result"] and task, seconds)
        return found


@contextmanager
def agent_on(folder: Path, **variables: str) -> Iterator[AgentProcess]:
    """A manager, a registered host, and its agent."""
    with chaos_manager(f"sqlite:///{folder}/manager.db") as manager:
        host = Host(manager, admin_key(manager), "", "")
        made = host.person("POST", "/infras", {"name": "host"}).json()
        host.id, host.key = made["infraID"], made["accessKey"]
        (folder / "key").write_text(host.key + "\n")
        agent = AgentProcess(host, folder, manager.url, variables)
        agent.start()
        try:
            yield agent
        finally:
            if agent.process is not None and agent.process.poll() is None:
                agent.end(signal.SIGTERM)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent of the test's own."""
    with agent_on(tmp_path) as made:
        yield made


def cpu_stress(seconds: float, probes: list[dict[str, Any]] | None = None, workers: int = 1, load: int = 10) -> Any:
    """An action that keeps a processor a little busy."""
    values = {"Load": str(load), "Workers": str(workers), "Duration": f"{round(seconds * 1000)}ms"}
    inputs = [{"name": name, "value": value} for name, value in values.items()]
    return {"chaos": {"experiment": "linux-cpu-stress", "experimentInputs": inputs, "probes": probes or []}}
