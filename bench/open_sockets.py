"""Measures how long the open connections of a node take to read, beside what a user would use instead.

    python bench/open_sockets.py [--sockets 10000,100000] [--small] [--json FILE]

The sockets are loopback connections in a network namespace of their own. Each turn reads them by every way in turn.
Exit 1 if a budget is missed.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.report import Row
from node_agent.capture.open_connections.open_sockets import one_per_socket
from node_agent.capture.open_connections.proc_sockets import socket_table
from node_agent.capture.open_connections.socket_rows import read_sockets
from node_agent.privileged.bpf_structs import CONNECTION
from tests.node_agent.kernel_side import attached

TURNS = 9
LOOPBACK = bytes((127, 9, 9))  # of the addresses that the connections use
PER_PROCESS = 5_000  # connections: both ends of each are descriptors of one process
HOLDER = """
import os, resource, socket, subprocess, sys
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
held, children = [], []
for address, count in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    made, done = os.pipe()
    children.append(os.fork())
    if not children[-1]:
        listener = socket.create_server((address, 9999), backlog=4096)
        for _ in range(count):
            held.append(socket.create_connection((address, 9999)))
            held.append(listener.accept()[0])
        os.write(done, b"+")
        sys.stdin.read()
        os._exit(0)
    if os.read(made, 1) != b"+":
        sys.exit("a process has not made its connections")
print("up", flush=True)
for child in children:
    os.waitpid(child, 0)
"""


@contextmanager
def open_connections(sockets: int) -> Iterator[int]:
    """A pid in a network namespace with so many connected sockets, both ends of each connection."""
    connections = sockets // 2
    counts = [min(PER_PROCESS, connections - start) for start in range(0, connections, PER_PROCESS)]
    words = [word for number, count in enumerate(counts, start=1) for word in (f"127.9.9.{number}", str(count))]
    command = ["unshare", "--net", sys.executable, "-c", HOLDER, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None or process.stdout.readline() != "up\n":
            raise SystemExit(f"bench: {sockets} connections could not be made")
        try:
            yield process.pid
        finally:
            process.stdin.close()


def seconds_of(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def turn(pid: int, sockets: int) -> dict[str, float]:
    """Seconds of each way to read the sockets of a process's network namespace."""
    with attached() as tracer:
        descriptor = tracer.take_socket_iterator()
        if descriptor is None:
            raise SystemExit("bench: the kernel has no iterator over open sockets")
        began = time.perf_counter()
        found = one_per_socket(read_sockets(descriptor)).places
        whole = time.perf_counter() - began
        seen = sum(LOOPBACK in (key[:3], key[4:7]) for key in found if len(key) < CONNECTION.size)
        if seen != sockets:
            raise SystemExit(f"bench: the iterator reported {seen} of {sockets} sockets")
    with attached() as tracer:
        bare = tracer.take_socket_iterator()
        with os.fdopen(bare or -1, "rb", buffering=0) as iterator:
            kernel = seconds_of(lambda: [None for _ in iter(lambda: iterator.read(1 << 18), b"")])
    return {
        "iterator": kernel,
        "iterator, parsed, each socket once": whole,
        "/proc/<pid>/net/tcp": seconds_of(lambda: Path(f"/proc/{pid}/net/tcp").read_bytes()),
        "/proc/<pid>/net/tcp, parsed": seconds_of(lambda: socket_table(Path("/proc"), pid)),
        "ss -tinH": seconds_of(
            lambda: subprocess.run(
                ["nsenter", "--target", str(pid), "--net", "ss", "-tinH"], stdout=subprocess.DEVNULL, check=True
            )
        ),
    }


def rows_of(sockets: int, turns: int) -> list[Row]:
    """The table's rows for so many sockets: medians, and the ratio to `ss` in the same turns."""
    with open_connections(sockets) as pid:
        found = [turn(pid, sockets) for _ in range(turns)]
    rows = []
    for way in found[0]:
        seconds = statistics.median(one[way] for one in found)
        ratio = statistics.median(one[way] / one["ss -tinH"] for one in found)
        budget = ("<= 0.1 of ss -ti", ratio <= 0.1) if way == "iterator" else ("", None)
        figures = {"sockets": sockets, "seconds": seconds, "toSs": ratio}
        rows.append(Row(f"{sockets:,} sockets: {way}", f"{seconds * 1e3:.1f} ms, {ratio:.3f} of ss", *budget, figures))
    return rows


def main() -> int:
    """Measure and print; return 1 if a budget is missed."""
    parser = report.parser(__doc__)
    parser.add_argument("--sockets", default="10000,100000")
    given = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    about = report.machine()
    counts, turns = ([1000], 1) if given.small else ([int(word) for word in given.sockets.split(",")], TURNS)
    rows = [row for sockets in counts for row in rows_of(sockets, turns)]
    return report.finish("open sockets", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
