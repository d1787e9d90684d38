"""Measures the node agent's footprint: memory, CPU, time to trace, exact sums at the highest rate, cost between
windows.

    python bench/agent_footprint.py [--seconds 20] [--small] [--json FILE]

The real agent below its supervisor, in a window of its own; the storm is 1,000 flows. Exit 1 if a budget is missed.
"""

import os
import re
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bpf_statistics, load, report
from bench.report import MEBI, Row
from lab.simulated import cgroups
from node_agent.capture.files import capture_file
from node_agent.privileged.bpf_structs import Capacity
from node_agent.runtime.tracer_lifecycle import FIRST_LEAD_SECONDS, capacity
from podsonar.settings import AgentSettings
from tests.acceptance.agent_process import AgentProcess, agent

PORTS, RATE = 1000, 10_000
# Defaults, and a manager over TLS as in a cluster: its authorities are part of the memory.
SETTINGS: dict[str, Any] = {"node": {"name": "node-a", "drainSeconds": 5}, "manager": {"url": "https://127.0.0.1:1"}}
TICKS = os.sysconf("SC_CLK_TCK")
SECONDS_OUTSIDE = 10.0
MEMORY = ("Rss", "Pss", "Anonymous", "Private_Clean", "Private_Dirty")


class ConnectionCounter:
    """Counts connections to the address that an agent would take for the API server."""

    def __init__(self) -> None:
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.count, daemon=True).start()

    def count(self) -> None:
        """Accept and close every connection, unanswered."""
        while True:
            connection, _address = self.listener.accept()
            self.connections += 1
            connection.close()


@contextmanager
def counted_api_server() -> Iterator[ConnectionCounter]:
    """Put a counted API server into the environment of every agent that starts in the block."""
    server = ConnectionCounter()
    environment = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.listener.getsockname()[1]),
    }
    os.environ.update(environment)
    try:
        yield server
    finally:
        for name in environment:
            del os.environ[name]


def processes_of(running: AgentProcess) -> dict[str, int]:
    """The processes that stay in a window, by name."""
    (pid,) = running.children("observe")
    return {"supervisor": running.process.pid, "agent": pid}


def memory_of(pid: int) -> dict[str, float]:
    """Memory of a process in MiB (proc_pid_smaps_rollup(5)); `Uss` is what no other process shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {
        name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines) if name in MEMORY
    }
    return {**found, "Uss": found["Private_Clean"] + found["Private_Dirty"]}


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of the processes so far, over all threads, to the nanosecond (schedstat)."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread may end
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def map_bytes(pid: int) -> int:
    """Bytes that the kernel charges for the BPF maps of a process, each map once."""
    charged = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):  # a file may be closed
            fields = dict(re.findall(r"(\w+):\s+(\d+)", path.read_text()))
            if "map_id" in fields and "map_type" in fields:
                charged[fields["map_id"]] = int(fields["memlock"])
    return sum(charged.values())


def memory_rows(running: AgentProcess) -> list[Row]:
    """Memory of both processes and of the maps."""
    found = {name: memory_of(pid) for name, pid in processes_of(running).items()}
    total = {name: sum(mib[name] for mib in found.values()) for name in (*MEMORY, "Uss")}
    rows = [
        Row(
            f"… {name}",
            f"RSS {mib['Rss']:.1f} MiB, PSS {mib['Pss']:.1f}, own {mib['Uss']:.1f}, anonymous {mib['Anonymous']:.1f}",
            figures=mib,
        )
        for name, mib in found.items()
    ]
    computed = Capacity.of(capacity(AgentSettings())).kernel_bytes()
    charged = map_bytes(processes_of(running)["agent"])
    return [
        Row(
            "memory in a window, what no other process shares",
            f"{total['Uss']:.1f} MiB, including the tables of the kernel side (RSS added up: {total['Rss']:.1f})",
            "≤ 40 MiB",
            total["Uss"] <= 40,
            total,
        ),
        Row("… of it anonymous", f"{total['Anonymous']:.1f} MiB", "≤ 25 MiB", total["Anonymous"] <= 25),
        *rows,
        Row(
            "maps: computed before load, charged",
            f"{computed / MEBI:.2f} MiB, {charged / MEBI:.2f} MiB",
            "within 10 %, ≤ 16 MiB",
            0.9 < charged / computed < 1.1 and charged <= 16 * MEBI,
            {"computed": computed, "charged": charged},
        ),
    ]


def cpu_row(running: AgentProcess, seconds: float, pod: list[Path]) -> Row:
    """CPU of the user side while the storm connects at a steady rate."""
    pids = list(processes_of(running).values())
    before, began = cpu_seconds(pids), time.monotonic()
    storm = load.storm(int(RATE * seconds), PORTS, RATE, pod)
    cpu, wall = cpu_seconds(pids) - before, time.monotonic() - began
    return Row(
        f"CPU at {storm['perSecond']:,.0f} connects/s, {PORTS} flows",
        f"{cpu / wall:.2%} of a core ({cpu:.3f} s in {wall:.1f} s)",
        "≤ 1 %",
        cpu / wall <= 0.01,
        {"storm": storm, "cpuSeconds": cpu, "wallSeconds": wall},
    )


def sums_row(running: AgentProcess, connects: int, fastest: dict[str, Any]) -> Row:
    """The stopped agent's capture, compared with the connects of the storms."""
    (path,) = running.spooled_files()
    capture = capture_file.read(path)
    flows = [flow for flow in capture.flows if flow.destination == load.ADDRESS]
    attempts, established = sum(flow.attempts for flow in flows), sum(flow.established for flow in flows)
    accepted = sum(entry.accepted for entry in capture.accepted if entry.local == load.ADDRESS)
    exact = attempts == established == accepted == connects and not capture.lost
    return Row(
        f"sums of {connects:,} connects, up to {fastest['perSecond']:,.0f}/s",
        f"{attempts:,} attempts, {established:,} established, {accepted:,} accepted; lost {capture.lost or 0}",
        "exact, 0 lost",
        exact,
        {
            "made": connects,
            "attempts": attempts,
            "established": established,
            "accepted": accepted,
            "lost": capture.lost,
        },
    )


def loader_row(what: str, number: int, log: str) -> Row:
    """What a loader used, the first one by number 0."""
    found = {name: float(re.findall(rf"\b{name}=([\d.]+)", log)[number]) for name in ("peak", "seconds")}
    return Row(what, f"peak {found['peak'] / MEBI:.0f} MiB, gone after {found['seconds']:.2f} s", figures=found)


def start_rows(seconds: float, log: str) -> list[Row]:
    """Time from start to tracing, and what the loader used for it."""
    return [
        Row("start to tracing", f"{seconds:.2f} s", "≤ 3 s", seconds <= 3, {"seconds": seconds}),
        loader_row("… loader", 0, log),
    ]


def later_row() -> Row:
    """What the second loader used: the first one compiled, long before the window."""
    with tempfile.TemporaryDirectory() as folder, agent(Path(folder), starts_in=2 * FIRST_LEAD_SECONDS) as running:
        running.wait_for_log("event=tracing")
        return loader_row("… loader of each later window", 1, running.log_text)


def in_window(seconds: float, connects: int, pod: list[Path]) -> list[Row]:
    """Every row of one window in which a pod connects; the capture waits for a directory that does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with agent(Path(folder), **SETTINGS) as running:
            running.wait_for_log("event=tracing")
            rows = start_rows(time.monotonic() - began, running.log_text)
            rows.append(cpu_row(running, seconds, pod))
            paced = rows[-1].figures["storm"]["connects"]
            rows.extend(memory_rows(running))
            fastest = load.storm(connects, PORTS, inside=pod)
            running.stop()
            rows.append(sums_row(running, paced + connects, fastest))
    return rows


def outside_row(lasting: float, what: str, sign: Callable[[AgentProcess], object], **times: Any) -> Row:  # noqa: ANN401
    """What is left of tracing outside a window, recognized by `sign`, and the agent's CPU then."""
    programs_before = set(bpf_statistics.programs())
    with tempfile.TemporaryDirectory() as folder, agent(Path(folder), **times) as running:
        running.wait_until(lambda: sign(running))
        pids = processes_of(running)
        time.sleep(1)
        before, began = cpu_seconds(list(pids.values())), time.monotonic()
        time.sleep(lasting)
        cpu, wall = cpu_seconds(list(pids.values())) - before, time.monotonic() - began
        left, charged = len(set(bpf_statistics.programs()) - programs_before), map_bytes(pids["agent"])
    return Row(
        what,
        f"{left} programs attached, {charged} bytes of maps, CPU {cpu / wall:.2%} of a core",
        "0, 0, ≤ 0.1 %",
        left == 0 and charged == 0 and cpu / wall <= 0.001,
        {"programs": left, "mapBytes": charged, "cpuSeconds": cpu, "wallSeconds": wall},
    )


def outside_rows(seconds: float) -> list[Row]:
    """An agent that waits for its window, and one whose window has ended without an answer of the directory."""
    return [
        outside_row(seconds, "before a window", lambda running: "tracer_loaded" in running.log_text, starts_in=3600.0),
        outside_row(seconds, "after a window", AgentProcess.spooled_files, seconds=5.0),
    ]


def measure(seconds: float, connects: int, outside_seconds: float) -> list[Row]:
    """Every row."""
    run = f"podsonar-{os.getpid()}"
    try:
        pod = cgroups.pod_cgroups(run, str(uuid.uuid4()), "f" * 64)
        with counted_api_server() as server:
            first, loader, *others = in_window(seconds, connects, pod)
            rows = [first, loader, later_row(), *others, *outside_rows(outside_seconds)]
            connections = server.connections
    finally:
        cgroups.remove(run)
    return [
        *rows,
        Row("requests to the API server", str(connections), "0", connections == 0, {"connections": connections}),
    ]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the steady storm lasts")
    parser.add_argument("--connects", type=int, default=400_009, help="connects at the highest rate")
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    sizes = (1.0, 5003, 1.0) if given.small else (given.seconds, given.connects, SECONDS_OUTSIDE)
    return report.finish("node agent", measure(*sizes), given.json, about)


if __name__ == "__main__":
    sys.exit(main())
