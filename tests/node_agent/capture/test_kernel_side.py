"""The real program in the running kernel: exact sums, outcomes, names of cgroups."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from node_agent.capture.bpf_maps import Counts
from node_agent.privileged import bpf_structs
from tests.node_agent.kernel_side import attached

pytestmark = pytest.mark.kernel
STORM_ADDRESS = "127.77.0.1"


def loopback_flows(counts: Counts, ports: range) -> dict[int, list[int]]:
    """Flow values by destination port, of flows to those ports."""
    found = {}
    for key, value in counts.flows.items():
        port = int.from_bytes(bpf_structs.ENDPOINTS.unpack(key)[3], "big")
        if port in ports:
            found[port] = value
    return found


def sums(counts: Counts, listener: str) -> tuple[int, int, int]:
    """Attempts and established of all flows to an address, and connections accepted there."""
    packed = bpf_structs.packed_address(listener)
    flows = [held for key, held in counts.flows.items() if key[24:40] == packed]
    accepted = [held for key, held in counts.accepted.items() if key[8:24] == packed]
    return sum(held[0] for held in flows), sum(held[1] for held in flows), sum(held[0] for held in accepted)


@pytest.fixture
def tracefs() -> Iterator[None]:
    """Tracefs is mounted, which a perf tracepoint needs."""
    if Path("/sys/kernel/tracing/events").exists():
        yield
        return
    subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=True)
    yield
    subprocess.run(["umount", "/sys/kernel/tracing"], check=True)


def test_tables_take_the_kernel_memory_that_is_computed_before_loading() -> None:
    """What the kernel charges for the tables that the agent holds is within 10 % of their computed size."""
    with attached() as tracer:
        names = [name for name in tracer.capacity.maps() if name in tracer.descriptors]
        charged = 0
        for name in names:
            for line in Path(f"/proc/self/fdinfo/{tracer.descriptors[name]}").read_text().splitlines():
                charged += int(line.split()[1]) if line.startswith("memlock:") else 0
    assert len(names) == len(tracer.capacity.maps())
    assert 0.9 < charged / tracer.capacity.kernel_bytes() < 1.1


@pytest.mark.parametrize("method", ["raw_tracepoint", "tracepoint"])
def test_storm_of_two_threads_while_tables_swap_counts_every_connect(storm: Path, tracefs: None, method: str) -> None:
    """100,003 connects to 101 ports, tables swapped at least 20 times: the sums are exact and nothing is lost."""
    with attached(method=method) as tracer:
        tracer.mark_scan_done()
        counts = Counts()
        with subprocess.Popen([storm, "100003", "2", "101"], stdout=subprocess.PIPE) as process:
            while process.poll() is None:
                tracer.drain(counts)
            assert process.stdout is not None
            result = orjson.loads(process.stdout.read())
        tracer.drain(counts)
        tracer.drain(counts)
        lost = {name: value for name, value in tracer.counters().items() if value and name != "outcome_unmatched"}
    assert result["connects"] == 100_003
    assert counts.drains >= 20
    attempts, established, accepted = sums(counts, STORM_ADDRESS)
    assert (attempts, established, accepted, lost) == (100_003, 100_003, 100_003, {})


def test_refused_connects_count_as_failed_with_errno() -> None:
    """23 connects to a closed port: 23 attempts, 23 failed, ECONNREFUSED."""
    with socket.socket() as placeholder, attached() as tracer:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        for _ in range(23):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        counts = Counts()
        tracer.drain(counts)
    held = loopback_flows(counts, range(port, port + 1))[port]
    assert held[:3] == [23, 0, 23]
    assert held[7] == 111


def test_ipv4_mapped_and_plain_connects_are_one_flow() -> None:
    """7 connects over ::ffff:127.0.0.1 and 4 over 127.0.0.1 to one port: one flow of 11."""
    with socket.create_server(("127.0.0.1", 0)) as server, attached() as tracer:
        port = server.getsockname()[1]
        for family, address, times in (
            (socket.AF_INET6, "::ffff:127.0.0.1", 7),
            (socket.AF_INET, "127.0.0.1", 4),
        ):
            for _ in range(times):
                with socket.socket(family) as client:
                    client.connect((address, port))
                    server.accept()[0].close()
        counts = Counts()
        tracer.drain(counts)
    assert loopback_flows(counts, range(port, port + 1))[port][:3] == [11, 11, 0]


def test_connection_that_came_up_during_the_look_is_remembered() -> None:
    """A connect made after attaching and before the look is known by its four-tuple."""
    with socket.create_server(("127.0.0.1", 0)) as server, attached() as tracer:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            own_port = client.getsockname()[1]
            assert ("127.0.0.1", own_port, "127.0.0.1", port) in tracer.recent()


def test_cgroup_names_come_leaf_first() -> None:
    """The names that the kernel side stored are those of this process's own cgroup."""
    with socket.create_server(("127.0.0.1", 0)) as server, attached() as tracer:
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()
        counts = Counts()
        tracer.drain(counts)
        cgroups = {bpf_structs.ENDPOINTS.unpack(key)[0] for key in counts.flows}
        known = tracer.cgroup_names()
        names = {known[cgroup] for cgroup in cgroups}
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = {tuple(reversed([name for name in line.split(":", 2)[2].split("/") if name])) for line in lines}
    assert names & own


def test_attempts_without_room_for_their_outcome_are_counted_and_reported() -> None:
    """31 connects to a listener that takes none: all are attempts, those beyond the room for outcomes are told."""
    with socket.socket() as server, attached(pending=8) as tracer, ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        for _ in range(31):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        counts = Counts()
        tracer.drain(counts)
        attempts, established, failed = loopback_flows(counts, range(port, port + 1))[port][:3]
        assert (attempts, failed) == (31, 0)
        assert established < 31 - 8
        assert tracer.counters()["pending_full"] >= 31 - 8 - established
