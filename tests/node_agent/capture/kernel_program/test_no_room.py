"""Tables too small, attempts older than the program, odd names, in the running kernel: counted, nothing is guessed."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.simulated import cgroups
from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.capture.open_connections import opened_flows
from node_agent.capture.open_connections.open_sockets import one_per_socket
from node_agent.privileged import bpf_structs
from tests.node_agent.capture.kernel_program.test_kernel_side import in_cgroup_of_its_own, in_new_cgroup, loopback_flows
from tests.node_agent.capture.open_connections.test_open_sockets import AT_NS, connections, rows_of
from tests.node_agent.kernel_side import attached

pytestmark = pytest.mark.kernel


def connect_once(port: int) -> None:
    """One connect that is refused."""
    with socket.socket() as client:
        client.connect_ex(("127.0.0.1", port))


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens at."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        yield int(placeholder.getsockname()[1])


def test_cgroups_without_room_for_their_names_are_counted_and_lose_no_attempt() -> None:
    """29 cgroups, room for the names of 8: every attempt is counted, and the rest has no name instead of another's."""
    with closed_port() as port, attached(cgroups=8) as tracer:
        for number in range(29):
            in_cgroup_of_its_own(f"podsonarnames-{number}", lambda: connect_once(port))
        counts = Counts()
        tracer.drain(counts)
        full, names = tracer.counters()["names_full"], tracer.cgroup_names()
    to_port = [key for key in counts.flows if key[40:42] == port.to_bytes(2, "big")]
    owners = {bpf_structs.ENDPOINTS.unpack(key)[0] for key in to_port}
    assert sum(counts.flows[key][0] for key in to_port) == 29
    assert len(owners) == 29
    assert len(names) <= 8
    assert full >= 29 - 8
    named = [names[owner] for owner in owners if owner in names]
    assert len({path[1] for path in named if path[1].startswith("pod")}) == len(named)


def test_outcomes_of_attempts_before_the_program_are_counted_and_are_no_flow() -> None:
    """Attempts that wait for an answer when the program comes and end afterwards: their window was another one."""
    with socket.socket() as server, ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [clients.enter_context(socket.socket()) for _ in range(13)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        with attached() as tracer:
            before = tracer.counters()["outcome_unmatched"]
            unanswered = [client for client in waiting if not is_established(client)]
            for client in unanswered:
                client.close()
            counts = Counts()
            tracer.drain(counts)
            unmatched = tracer.counters()["outcome_unmatched"] - before
    assert len(unanswered) >= 7
    assert unmatched >= len(unanswered)
    assert loopback_flows(counts, range(port, port + 1)) == {}


def is_established(client: socket.socket) -> bool:
    """Whether a connection has come up (tcp(7), TCP_INFO: the first byte is the state)."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


def test_open_connections_are_none_where_new_ones_found_no_room() -> None:
    """23 from before and 31 made during the scan, room for 8: nothing is claimed twice; all that was open counts."""
    with connections(23) as (port, _clients, _servers), attached(recent=8) as tracer:
        with connections(31):
            reading = one_per_socket(rows_of(tracer, port))
            opened = opened_flows.scan(tracer, reading, AT_NS)
        assert tracer.counters()["recent_full"] >= 31 - 8
    assert (opened.flows, opened.accepted) == ([], [])
    assert opened.left_out["recent_full"] >= 23


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"a b\t", b"\x1b[2J", b"\xed\xa0\x80"])
def test_cgroup_of_any_bytes_is_read_from_the_kernel(name: bytes) -> None:
    """A tenant's name that is no UTF-8, or holds control characters, costs its own pod its name at most."""
    run = f"podsonarbytes-{os.getpid()}"
    with closed_port() as port, attached() as tracer:
        in_new_cgroup(run, cgroups.make_in_every_hierarchy(f"{run}/{os.fsdecode(name)}"), lambda: connect_once(port))
        counts = Counts()
        tracer.drain(counts)
        names = tracer.cgroup_names()
    ((key, sums),) = [(key, sums) for key, sums in counts.flows.items() if key[40:42] == port.to_bytes(2, "big")]
    assert sums[0] == 1
    assert run in names[bpf_structs.ENDPOINTS.unpack(key)[0]]
