"""A manager that everybody attacks at once, beside one honest agent and one reader: `make soak`.

    python -m tests.soak.soak [--seconds 1200] [--database sqlite|postgresql|both]

Scanning pod, stalled uploads, bombs, unauthenticated chunks, idle connections, odd objects
(tests/soak/hostile_program.py), a redirecting proxy in front of the honest agent, the database stopped and continued,
the disks of manager and agent filled and freed. At the end every batch of the honest agent is stored exactly once,
nothing was dropped, no program was started again, and all stayed below the limits of the chart. Times are printed; the
command fails on them, the test does not.
"""

import argparse
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from manager.store.agents import find_agent
from manager.store.batches.queries import list_windows
from manager.store.batches.sequences import count_missing
from manager.store.batches.window_batches import iterate_batches, iterate_counts
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.manager.manager_process import MIB, ManagerProcess, manager_process
from tests.manager.postgresql import PostgresqlServer
from tests.soak.honest_program import CONNECTIONS
from tests.soak.redirecting_proxy import RedirectingProxy

REPOSITORY = Path(__file__).resolve().parents[2]
CYCLE_SECONDS = 30.0
REST_SECONDS = 90.0
MOST_PUSH_SECONDS, MOST_MAP_SECONDS = 5.0, 1.0


@dataclass
class Findings:
    """What a soak has seen."""

    put: int = 0
    stored: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: int = 0
    left: int = 0
    dropped: list[Any] = field(default_factory=list)
    delivered: int = 0
    expected: int = 0
    gaps: int = 0
    internal_errors: float = 0
    restarted: bool = False
    push_seconds: list[float] = field(default_factory=list)
    map_seconds: list[float] = field(default_factory=list)
    map_failures: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    attacks: dict[str, int] = field(default_factory=dict)

    def shown(self) -> str:
        """One line per finding."""
        peaks = ", ".join(f"{name} {size // MIB} of {limit_mib(name)} MiB" for name, size in self.peaks.items())
        return (
            f"batches put {self.put}, stored {self.stored}, doubled {self.doubled}, left {self.left}, "
            f"dropped {len(self.dropped)}, missing numbers {self.gaps}\n"
            f"connects delivered {self.delivered} of {self.expected}; answers 500: {self.internal_errors:.0f}\n"
            f"push p50 {percentile(self.push_seconds, 50):.3f} s, p99 {percentile(self.push_seconds, 99):.3f} s; "
            f"map p50 {percentile(self.map_seconds, 50):.3f} s, p99 {percentile(self.map_seconds, 99):.3f} s, "
            f"not answered {self.map_failures} of {self.map_failures + len(self.map_seconds)}\n"
            f"peak memory: {peaks}\nattacks: {self.attacks}"
        )


def percentile(values: list[float], wanted: int) -> float:
    """The value that so many percent do not exceed; 0 of nothing."""
    return sorted(values)[min(len(values) - 1, len(values) * wanted // 100)] if values else 0.0


def limit_mib(part: str) -> int:
    """The chart's memory limit of a part."""
    values = yaml.safe_load((REPOSITORY / "deploy/charts/podsonar/values.yaml").read_text())
    text = str(values[{"manager": "manager", "agent": "nodeAgent"}[part]]["resources"]["limits"]["memory"])
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def resident(pid: int) -> int:
    """Bytes of memory of a process; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS")), 0)


@contextmanager
def program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of the soak."""
    command = [sys.executable, "-m", f"tests.soak.{name}", *arguments]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def report_of(process: subprocess.Popen[str], seconds: float) -> Any:
    """What a program prints once it is told to end."""
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=seconds)
    return json.loads(text.splitlines()[-1])


class Disturber:
    """Stops and continues the database, fills and frees disks, lets the proxy answer by itself; in turn."""

    def __init__(
        self, manager: ManagerProcess, agent_pid: int, server: PostgresqlServer | None, proxy: RedirectingProxy
    ) -> None:
        self.manager, self.agent_pid, self.server, self.proxy = manager, agent_pid, server, proxy
        self.stop = threading.Event()

    def run(self) -> None:
        """One disturbance after the other, each undone."""
        steps = (self.odd_proxy, self.stop_database, self.fill_disk_of_agent, self.fill_disk_of_manager)
        while not self.stop.is_set():
            for step in steps:
                self.stop.wait(CYCLE_SECONDS / len(steps) / 2)
                if self.stop.is_set():
                    return
                step(CYCLE_SECONDS / len(steps) / 2)

    def odd_proxy(self, seconds: float) -> None:
        """Answers that no client obeys."""
        self.proxy.odd = True
        self.stop.wait(seconds)
        self.proxy.odd = False

    def stop_database(self, seconds: float) -> None:
        """PostgreSQL stands still; SQLite's write lock is held by another program."""
        if self.server is None:
            path = self.manager.database.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")
                self.stop.wait(seconds)
                other.execute("ROLLBACK")
            return
        frozen = self.server.freeze()
        self.stop.wait(seconds)
        self.server.go_on(frozen)

    def fill_disk_of_agent(self, seconds: float) -> None:
        """No file of the agent may grow: its spool takes nothing."""
        self.limit_files(self.agent_pid, 16, seconds)

    def fill_disk_of_manager(self, seconds: float) -> None:
        """The same of SQLite's manager; PostgreSQL's has no file."""
        if self.server is None:
            self.limit_files(self.manager.process.pid, 4096, seconds)

    def limit_files(self, pid: int, size: int, seconds: float) -> None:
        """Let no file of a process grow beyond a size for a while."""
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
        self.stop.wait(seconds)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def read_maps(manager: ManagerProcess, found: Findings, stop: threading.Event) -> None:
    """A reader: the newest map twice per second."""
    with httpx.Client(trust_env=False, timeout=30, headers={"X-API-Key": manager.key}) as client:
        while not stop.wait(0.5):
            began = time.monotonic()
            try:
                answer = client.get(f"{manager.url}/api/v1/agents/honest/map")
            except httpx.TransportError:
                found.map_failures += 1
                continue
            if answer.status_code == 200:
                found.map_seconds.append(time.monotonic() - began)
            else:
                found.map_failures += 1


def watch(pids: dict[str, int], found: Findings, stop: threading.Event) -> None:
    """The highest memory of each program."""
    while not stop.wait(0.1):
        for name, pid in pids.items():
            found.peaks[name] = max(found.peaks.get(name, 0), resident(pid))


def compare(manager: ManagerProcess, put: list[str], found: Findings) -> None:
    """What the manager has of the honest agent, beside what that one put."""
    with closing(Store(manager.database)) as store:
        agent = find_agent(store, "honest")
        assert agent is not None
        stored = [
            (one.batch_id, counts["delivered"])
            for window in list_windows(store, agent.id)
            for one, counts in iterate_counts(store, agent.id, iterate_batches(store, agent.id, window.id))
        ]
        found.gaps = count_missing(store, agent.id)
    connections = [name for name in put if name.startswith("c-")]
    found.put, found.stored = len(connections), len(stored)
    found.doubled = len(stored) - len({name for name, _ in stored})
    found.missing = sorted(set(connections) - {name for name, _ in stored})
    found.delivered, found.expected = sum(count for _, count in stored), 3 * CONNECTIONS * len(connections)


def soak(folder: Path, seconds: float, server: PostgresqlServer | None) -> Findings:
    """Attack for that long, then let the honest agent deliver the rest, and compare."""
    found = Findings()
    database = server.new_database() if server else f"sqlite:///{folder}/manager.db"
    with ExitStack() as stack:
        manager = stack.enter_context(manager_process(folder, database))
        tokens = {}
        with closing(Store(database)) as store:
            for name in ("honest", "hostile"):
                tokens[name] = create_token(store, "ingest", name, time.time_ns(), os.urandom).text()
        (folder / "token").write_text(tokens["honest"])
        target = manager.url.removeprefix("http://")
        proxy = RedirectingProxy((target.partition(":")[0], int(target.partition(":")[2])))
        stack.callback(proxy.close)
        honest = stack.enter_context(program("honest_program", str(folder), proxy.url, str(REST_SECONDS)))
        hostile = stack.enter_context(program("hostile_program", target, tokens["hostile"]))
        disturber = Disturber(manager, honest.pid, server, proxy)
        stop = threading.Event()
        pids = {"manager": manager.process.pid, "agent": honest.pid}
        threads = [
            threading.Thread(target=read_maps, args=(manager, found, stop)),
            threading.Thread(target=watch, args=(pids, found, stop)),
            threading.Thread(target=disturber.run),
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        disturber.stop.set()
        threads[-1].join()
        found.attacks = report_of(hostile, 30)
        reported = report_of(honest, REST_SECONDS + 30)
        stop.set()
        for thread in threads:
            thread.join()
        found.push_seconds, found.dropped, found.left = reported["seconds"], reported["dropped"], reported["left"]
        found.internal_errors = manager.metric("podsonar_manager_internal_errors_total")
        found.restarted = manager.process.poll() is not None
        compare(manager, reported["put"], found)
    return found


def is_whole(found: Findings) -> bool:
    """Whether everything of the honest agent is there once, and all programs stayed within their limits."""
    complete = found.put > 0 and not found.missing and not found.doubled and not found.dropped and not found.left
    exact = found.delivered == found.expected and not found.gaps
    healthy = not found.internal_errors and not found.restarted
    return complete and exact and healthy and all(size < limit_mib(name) * MIB for name, size in found.peaks.items())


def is_fast(found: Findings) -> bool:
    """Whether the honest agent's pushes and the reader's maps were answered in time."""
    in_time = percentile(found.push_seconds, 99) <= MOST_PUSH_SECONDS
    return in_time and percentile(found.map_seconds, 99) <= MOST_MAP_SECONDS


def main() -> int:
    """Soak each database in turn; exit 1 if something was lost or late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1200.0, help="in all")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    given = parser.parse_args()
    kinds = ("sqlite", "postgresql") if given.database == "both" else (given.database,)
    good = True
    for kind in kinds:
        server = PostgresqlServer(settings={"fsync": "on"}) if kind == "postgresql" else None
        try:
            with tempfile.TemporaryDirectory() as folder:
                found = soak(Path(folder), given.seconds / len(kinds), server)
        finally:
            if server:
                server.remove()
        good = good and is_whole(found) and is_fast(found)
        verdict = f"{'whole' if is_whole(found) else 'NOT whole'}, {'in time' if is_fast(found) else 'LATE'}"
        sys.stdout.write(f"{kind}: {verdict}\n{found.shown()}\n")
        sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
