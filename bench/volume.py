"""Measures what volumes and the third witness cost: BPF time, a streaming connection, memory at many sockets, snmp.

    python bench/volume.py [--small] [--json FILE]

BPF time is the kernel's own statistics of storms of loopback connects, both ends, with the program of `data.volume`
and the smaller one, in turns. A streaming connection is measured in pairs, with the program attached and without.
Memory is that of the real agent while its window begins and ends with many open sockets. Exit 1 if a budget is missed.
"""

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bpf_statistics, load, report
from bench.agent_footprint import memory_of
from bench.open_sockets import open_connections, seconds_of
from bench.report import Row
from bench.tracers import loaded_agent_program
from node_agent.capture.kernel_counters import KernelCounters, Network, files_of
from tests.acceptance.agent_process import agent
from tests.node_agent.kernel_side import attached

PORTS = 100
PROGRAMS = {"with volumes": ({"ended": 4096}, 900), "without": ({"ended": 0}, 700)}
STREAM_SECONDS, SETTLE_SHARE = 0.5, 0.2
MEMORY_MIB, SNMP_SECONDS, STREAM_SHARE = 60, 0.150, 0.995
NAMESPACES = """
import ctypes, os, sys
children = []
for _ in range(int(sys.argv[1])):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os._exit(1) if ctypes.CDLL(None).unshare(0x40000000) else os.write(write, b"+")
        sys.stdin.read()
        os._exit(0)
    if os.read(read, 1) != b"+":
        sys.exit("a network namespace was not made")
    os.close(read)
    os.close(write)
    children.append(child)
print(*children, flush=True)
for child in children:
    os.waitpid(child, 0)
"""


def cost_rows(loads: int, storms: int, connects: int) -> list[Row]:
    """Nanoseconds of BPF time per connect, of each program."""
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(loads):
        for name, (options, _budget) in PROGRAMS.items():
            others = set(bpf_statistics.programs())
            with bpf_statistics.statistics_enabled(), attached(**options) as tracer:
                tracer.mark_scan_done()
                load.storm(connects, PORTS)
                for _ in range(storms):
                    before = bpf_statistics.programs()
                    load.storm(connects, PORTS)
                    ns, _runs = bpf_statistics.spent_between(before, bpf_statistics.programs(), others)
                    found[name].append(ns / connects)
    rows = []
    for name, figures in found.items():
        budget, middle = PROGRAMS[name][1], statistics.median(figures)
        text = f"{middle:,.0f} ns median, {min(figures):,.0f} least of {len(figures)} storms"
        rows.append(Row(f"BPF time per connect, {name}", text, f"≤ {budget} ns", middle <= budget, {"ns": figures}))
    return rows


@contextmanager
def streaming_connection() -> Iterator[socket.socket]:
    """The receiving end of a loopback connection whose other end sends as fast as it is read."""
    piece = bytes(1 << 17)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _address = server.accept()

    def send() -> None:
        with sender, suppress(OSError):
            while True:
                sender.sendall(piece)

    thread = threading.Thread(target=send)
    thread.start()
    with receiver:
        yield receiver
    thread.join()


def bytes_per_second(receiver: socket.socket, seconds: float) -> float:
    """The speed of the connection, after it has settled."""
    speed = 0.0
    for share in (SETTLE_SHARE, 1 - SETTLE_SHARE):
        received, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds * share:
            received += len(receiver.recv(1 << 18))
        speed = received / (time.perf_counter() - began)
    return speed


def stream_row(pairs: int) -> Row:
    """Throughput of one connection with the program attached beside without, within pairs."""
    ratios = []
    with loaded_agent_program() as attach, streaming_connection() as receiver:
        for number in range(pairs):
            speeds = {}
            for traced in (False, True) if number % 2 else (True, False):
                with attach() if traced else nullcontext():
                    speeds[traced] = bytes_per_second(receiver, STREAM_SECONDS)
            ratios.append(speeds[True] / speeds[False])
    middle = statistics.median(ratios)
    text = f"{middle:.2%} of untraced, median of {pairs} pairs"
    return Row("throughput of a streaming connection", text, "≥ 99.5 %", middle >= STREAM_SHARE, {"ratios": ratios})


def memory_row(sockets: int) -> Row:
    """The most memory that the agent's processes share with nobody, with so many open sockets."""
    most = 0.0
    with (
        open_connections(sockets),
        tempfile.TemporaryDirectory() as folder,
        agent(Path(folder), None, node={"drainSeconds": 5}) as running,
    ):
        running.wait_for_log("event=tracing")
        (pid,) = running.children("observe")
        ended = threading.Event()

        def sample() -> None:
            nonlocal most
            while not ended.is_set():
                with suppress(OSError, ValueError):
                    most = max(most, memory_of(pid)["Uss"] + memory_of(running.process.pid)["Uss"])
                ended.wait(0.02)

        thread = threading.Thread(target=sample)
        thread.start()
        time.sleep(3 + sockets / 20_000)
        running.process.terminate()
        running.process.wait(120)
        ended.set()
        thread.join()
    text = f"{most:.1f} MiB that no other process shares"
    return Row(f"agent with {sockets:,} open sockets", text, f"≤ {MEMORY_MIB} MiB", most <= MEMORY_MIB, {"mib": most})


@contextmanager
def network_namespaces(count: int) -> Iterator[list[int]]:
    """A process in each of so many network namespaces of its own."""
    command = [sys.executable, "-c", NAMESPACES, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise SystemExit("bench: a process without pipes")
        pids = [int(word) for word in process.stdout.readline().split()]
        if len(pids) != count:
            raise SystemExit(f"bench: {len(pids)} network namespaces, expected {count}")
        try:
            yield pids
        finally:
            process.stdin.close()


def snmp_rows(count: int, turns: int) -> list[Row]:
    """Times to read the kernel's own counters of so many pods, each after a look at whose they are.

    The resets of half-open connections are read of those alone in which connects have failed that the program has not
    seen: of none at best, at worst of all.
    """
    kernel = KernelCounters(Path("/proc"))
    with network_namespaces(count) as pids:
        networks = {pid: Network([pid], set()) for pid in pids}
        least = [seconds_of(lambda: [kernel.read(pid) for pid in files_of(networks, kernel)]) for _ in range(turns)]
        both = [
            seconds_of(lambda: [(kernel.read(pid), kernel.resets(pid)) for pid in files_of(networks, kernel)])
            for _ in range(turns)
        ]
    return [
        snmp_row(f"counters of {count:,} pods", least, count),
        snmp_row(f"counters of {count:,} pods, resets of all", both, count),
    ]


def snmp_row(name: str, seconds: list[float], count: int) -> Row:
    """The row of the median time."""
    middle = statistics.median(seconds)
    text = f"{middle * 1e3:.0f} ms, {middle / count * 1e6:.0f} µs each"
    return Row(name, text, "≤ 150 ms per 1,000", middle / count <= SNMP_SECONDS / 1000, {})


def main() -> int:
    """Measure and print; return 1 if a budget is missed."""
    given = report.parser(__doc__).parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    report.raise_priority()
    about = report.machine()
    os.environ.setdefault("PYTHONPATH", str(report.REPOSITORY))
    loads, storms, connects = (1, 1, 1009) if given.small else (5, 3, 20_011)
    rows = [*cost_rows(loads, storms, connects), stream_row(1 if given.small else 31)]
    rows += [
        memory_row(1000 if given.small else 100_000),
        *snmp_rows(20 if given.small else 1000, 1 if given.small else 9),
    ]
    return report.finish("volume and third witness", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
