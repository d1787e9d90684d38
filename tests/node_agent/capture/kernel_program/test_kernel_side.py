"""The real program in the running kernel: exact sums, outcomes, names of cgroups."""

import ipaddress
import os
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from lab.simulated import cgroups
from node_agent.capture import fair_share
from node_agent.capture.kernel_program.bpf_maps import Counts
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


def test_row_62_ipv4_mapped_and_plain_connects_are_one_flow() -> None:
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
    """31 connects to a listener that takes none: all are attempts, those beyond the room for outcomes are counted."""
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


def scan_ports(address: str, destinations: int, first_port: int = 1) -> None:
    """Connect once to each of so many ports, which are closed, beginning with the first, at ever new addresses."""
    for number in range(destinations):
        host = ipaddress.ip_address(address) + number // 60_000
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex((str(host), first_port + number % 60_000))


def in_cgroup_of_its_own(run: str, action: Callable[[], None]) -> None:
    """Do something in a child process that is in a pod's cgroup, in every hierarchy."""
    in_new_cgroup(run, cgroups.pod_cgroups(run, str(uuid.uuid4()), "c" * 64), action)


def in_new_cgroup(run: str, folders: list[Path], action: Callable[[], None]) -> None:
    """Do something in a child process that is in these cgroups of a run, and remove them."""
    child = os.fork()
    if child == 0:
        try:
            for folder in folders:
                (folder / "cgroup.procs").write_text(str(os.getpid()))
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    cgroups.remove(run)


def by_cgroup(flows: Mapping[bytes, list[int]], network: str) -> dict[int, tuple[int, int, int]]:
    """Flows, attempts in flows and attempts in sums by cgroup, of cgroups that went to a network of loopback."""
    found: dict[int, tuple[int, int, int]] = {}
    cgroups_there = {key[:8] for key in flows if key[24:40].startswith(bpf_structs.packed_address(network)[:14])}
    for key, sums in flows.items():
        if key[:8] in cgroups_there:
            exact, attempts, summed = found.get(int.from_bytes(key[:8], "little"), (0, 0, 0))
            beyond = fair_share.is_sum(key)
            place = int.from_bytes(key[:8], "little")
            found[place] = (exact + (not beyond), attempts + sums[0] * (not beyond), summed + sums[0] * beyond)
    return found


def test_row_61_scanning_pod_holds_half_a_table_and_its_neighbours_lose_nothing() -> None:
    """5,003 new destinations in a table of 1,024: 512 flows and the rest in sums; two neighbours' 97 are all there."""
    with attached(flows=1024, pending=1024) as tracer:
        in_cgroup_of_its_own("podsonarshare-a", lambda: scan_ports("127.81.0.1", 97, 1024))
        in_cgroup_of_its_own("podsonarshare-b", lambda: scan_ports("127.82.0.1", 5003, 1))
        in_cgroup_of_its_own("podsonarshare-c", lambda: scan_ports("127.83.0.1", 97, 1024))
        counts = Counts()
        tracer.drain(counts)
        lost = tracer.counters()["flows_full"]
    neighbours = [by_cgroup(counts.flows, f"127.{network}.0.0") for network in (81, 83)]
    assert [list(found.values()) for found in neighbours] == [[(97, 97, 0)], [(97, 97, 0)]]
    ((exact, attempts, summed),) = by_cgroup(counts.flows, "127.82.0.0").values()
    assert attempts == exact
    assert 400 <= exact <= 512
    assert attempts + summed == 5003
    assert lost == 0
    ranges = sorted(
        (int.from_bytes(bpf_structs.ENDPOINTS.unpack(key)[3], "big"), sums[0])
        for key, sums in counts.flows.items()
        if fair_share.is_sum(key)
    )
    assert ranges == [(0, 1023 - exact), (1024, 5003 - 1023)]
