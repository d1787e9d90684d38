"""A window on order from end to end: real collector, node agents and manager, and the command that orders.

The agents may not trace: what is shown is which windows they report, and for what.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml

from lab.demo import fake_api_server
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.acceptance.agent_process import REPOSITORY, free_port, with_capabilities
from tests.manager.conftest import Running, running_on

pytestmark = pytest.mark.kernel

COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]
PATIENCE_SECONDS = 180.0


class Cluster:
    """A collector and two node agents that push to a manager; their schedule has a window once a year."""

    def __init__(self, folder: Path, manager: Running, api_url: str) -> None:
        self.folder, self.manager = folder, manager
        (folder / "token").write_text(manager.token)
        (folder / "kubeconfig").write_text(yaml.safe_dump(fake_api_server.kubeconfig(api_url)))
        port, self.metrics_url = free_port(), f"http://127.0.0.1:{free_port()}"
        self.settings: dict[str, Any] = {
            "manager": {"url": manager.url, "tokenFile": str(folder / "token")},
            "directory": {
                "url": f"http://127.0.0.1:{port}",
                "listen": f"127.0.0.1:{port}",
                "tokenFile": str(folder / "token"),
            },
            "data": {"cron": {"expression": "0 0 1 1 *"}},
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, prefix: tuple[str, ...] = (), **groups: Any) -> None:
        """Start a program with a spool of its own."""
        (self.folder / name).mkdir(exist_ok=True)
        config = self.folder / name / "settings.yaml"
        config.write_bytes(
            orjson.dumps(self.settings | {"spool": {"folder": str(self.folder / name / "spool")}} | groups)
        )
        with self.log(name).open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [*prefix, *COMMAND, *words, "--config", str(config)],
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start_collector(self) -> None:
        """Start the collector, or start it again."""
        kubeconfig = str(self.folder / "kubeconfig")
        metrics = {"listen": self.metrics_url.removeprefix("http://")}
        self.start("collector", "collector", "run", "--kubeconfig", kubeconfig, metrics=metrics)

    def start_agent(self, name: str, **node: Any) -> None:
        """Start the agent of a node that may not trace."""
        prefix = tuple(with_capabilities("bpf"))
        self.start(name, "agent", "run", prefix=prefix, node={"name": name, **node})

    def kill(self, name: str) -> None:
        """End a program at once."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes.pop(name).wait(10)

    def log(self, name: str) -> Path:
        """The file of a program's log."""
        return self.folder / name / "log"

    def order(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command that orders windows."""
        command = [
            *COMMAND,
            "collector",
            "windows",
            *words,
            "--config",
            str(self.folder / "collector" / "settings.yaml"),
        ]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)

    def parked(self) -> int | None:
        """How many requests wait for orders at the collector; None while nothing answers there."""
        try:
            text = httpx.get(f"{self.metrics_url}/metrics", timeout=30, trust_env=False).text
        except httpx.TransportError:
            return None
        name = "podsonar_directory_parked_requests "
        return next(int(float(line.removeprefix(name))) for line in text.splitlines() if line.startswith(name))

    def windows(self) -> dict[str, str]:
        """The id of each window at the manager by what it was ordered for, newest first."""
        found = self.manager.get("/agents/lab/windows")["items"]
        return {" ".join((one["purpose"]["run"], one["purpose"]["kind"])): one["id"] for one in found}

    def wait_until(self, condition: Any) -> None:
        """Return once the condition holds; fail with the logs after three."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            logs = {name: self.log(name).read_text() for name in self.processes}
            assert time.monotonic() < deadline, logs
            assert all(one.poll() is None for one in self.processes.values()), logs
            time.sleep(0.1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Programs that are ended with the test."""
    with ExitStack() as stack:
        manager = stack.enter_context(running_on(f"sqlite:///{tmp_path}/manager.db"))
        made = Cluster(tmp_path, manager, stack.enter_context(fake_api_server.serving([])))
        try:
            yield made
        finally:
            for name in list(made.processes):
                made.kill(name)


def test_ordered_windows_are_reported_by_the_agents_that_listen_and_by_no_other(cluster: Cluster) -> None:
    """Windows reach the manager with their purpose, also where the collector died after they were ordered.

    The agent without `node.orders` observes its own schedule alone; what overlaps is refused with the next free time.
    """
    cluster.start_collector()
    cluster.start_agent("node-a", orders=True)
    cluster.start_agent("node-b")
    cluster.wait_until(lambda: cluster.parked() == 1)
    at = rfc3339((time.time_ns() // NS_PER_SECOND + 30) * NS_PER_SECOND)
    first = cluster.order("order", "--run", "run-0", "--fault", "1", "--seconds", "5", "--at", at)
    assert (first.returncode, first.stderr) == (0, "1 agents listen\n"), first.stderr
    second = ["order", "--run", "run-1", "--baseline", "1", "--fault", "1", "--seconds", "5", "--at"]
    refused = cluster.order(*second, at)
    assert (refused.returncode, "ordered by run-0; there is room from" in refused.stderr) == (1, True), refused.stderr
    done = cluster.order(*second, refused.stderr.split("there is room from ")[1].split()[0])
    assert done.returncode == 0, done.stderr
    cluster.wait_until(lambda: cluster.log("node-a").read_text().count("windows_ordered") == 2)
    cluster.wait_until(lambda: cluster.parked() == 1)  # again, after the pause between two requests
    cluster.kill("collector")
    cluster.start_collector()
    cluster.wait_until(lambda: len(cluster.windows()) == 3)
    found = cluster.windows()
    assert list(found) == ["run-1 fault", "run-1 baseline", "run-0 fault"]
    assert [found["run-1 baseline"], found["run-1 fault"]] == [line.split()[0] for line in done.stdout.splitlines()]
    shown = cluster.manager.get("/agents/lab/map", window=found["run-1 fault"])
    assert shown["window"]["purpose"] == {"run": "run-1", "kind": "fault"}
    coverage = {name: (one["observed"], one["reason"]) for name, one in shown["coverage"].items()}
    assert coverage == {"node-a": ("none", "capability_missing")}
    known = cluster.order("show", "run-1")
    assert (known.returncode, known.stdout) == (0, done.stdout), known.stderr
    unknown = cluster.order("show", "run-2")
    assert (unknown.returncode, "no window of this run is known" in unknown.stderr) == (1, True)
    assert "orders_unavailable" in cluster.log("node-a").read_text()
    assert not any(word in cluster.log("node-b").read_text() for word in ("windows_ordered", "orders_unavailable"))
