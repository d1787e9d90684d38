"""What the kernel counts itself, beside the traced program: connects, failures, and connections still half open."""

import time
from contextlib import suppress
from pathlib import Path

from lab.simulated.network import LabError
from lab.simulated.two_nodes import TwoNodes
from podsonar.model import Capture
from tests.scenarios.simulated_cluster import Cast

HANDSHAKE_SECONDS = 60
SYN_RECV = "03"


def unshown_failures(capture: Capture, failures: int) -> int:
    """How many unfinished attempts of a capture are among the `failures` that the kernel counted itself."""
    failed = sum(flow.failed for flow in capture.flows)
    return max(0, min(failures - failed, sum(flow.unfinished for flow in capture.flows)))


def tcp_counts(name: str) -> dict[int, int]:
    """A counter of RFC 4022 (`ActiveOpens`: connects made, `AttemptFails`: failed), by network namespace."""
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # a process that has ended meanwhile
            namespace = (folder / "ns/net").stat().st_ino
            rows = [line.split() for line in (folder / "net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
            found[namespace] = int(dict(zip(*rows, strict=True))[name])
    return found


def pod_failures(cast: Cast) -> int:
    """How many attempts made in the network namespaces of the scenario's pods have failed so far."""
    counts = tcp_counts("AttemptFails")
    namespaces: set[int] = set()
    for pid in cast.pids_of_pods():
        with suppress(OSError):  # a zombie
            namespaces.add(Path(f"/proc/{pid}/ns/net").stat().st_ino)
    return sum(counts.get(namespace, 0) for namespace in namespaces)


def half_open(lab: TwoNodes) -> int:
    """How many connections of the lab wait for the last packet of their handshake (proc_net_tcp(5), state SYN_RECV)."""
    rows: set[str] = set()
    for process in lab.pods.values():
        for name in ("tcp", "tcp6"):
            with suppress(OSError):  # a zombie
                table = Path(f"/proc/{process.process.pid}/net/{name}").read_text().splitlines()[1:]
                rows.update(row for row in table if row.split()[3] == SYN_RECV)
    return len(rows)


def wait_for_handshakes(lab: TwoNodes) -> None:
    """Return when the accepting ends, too, have every connection that was made; raise LabError after a minute.

    connect() returns at the client's end first: that the server's kernel has the last packet is another event.
    """
    deadline = time.monotonic() + HANDSHAKE_SECONDS
    while waiting := half_open(lab):
        if time.monotonic() > deadline:
            raise LabError(f"{waiting} connections are half open after {HANDSHAKE_SECONDS} s")
        time.sleep(0.01)
