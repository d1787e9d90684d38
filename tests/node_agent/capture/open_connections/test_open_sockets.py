"""Open sockets by the iterator, in the running kernel: each once, with its holder, its role and its bytes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.capture.open_connections.open_sockets import one_per_socket
from node_agent.capture.open_connections.opened_flows import opened_connections
from node_agent.capture.open_connections.socket_rows import FIN_WAIT2, OpenSocket, read_sockets, role_of
from node_agent.capture.pod_cgroup import SHARED
from node_agent.privileged.bpf_structs import address_text
from tests.node_agent.kernel_side import attached

pytestmark = pytest.mark.kernel
AT_NS = 1_700_000_000 * 10**9


def rows_of(tracer: AttachedProgram, *ports: int) -> list[OpenSocket]:
    """The rows of one iterator that have one of the ports at either end."""
    descriptor = tracer.take_socket_iterator()
    assert descriptor is not None
    return [row for row in read_sockets(descriptor) if {row.local_port, row.remote_port} & set(ports)]


@contextmanager
def connections(
    count: int, family: int = socket.AF_INET, address: str = "127.0.0.1"
) -> Iterator[tuple[int, list[socket.socket], list[socket.socket]]]:
    """Port, client ends and server ends of `count` connections."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(family))
        server.bind((address, 0))
        server.listen(count)
        clients, servers = [], []
        for _ in range(count):
            clients.append(stack.enter_context(socket.socket(family)))
            clients[-1].connect(server.getsockname()[:2])
            servers.append(stack.enter_context(server.accept()[0]))
        yield server.getsockname()[1], clients, servers


def test_each_connection_is_one_flow_and_one_accepted_flow() -> None:
    """23 connections before the program: both ends, 23 each, in this process's cgroup; none of them is recent."""
    with connections(23) as (port, _clients, _servers), attached() as tracer:
        rows = rows_of(tracer, port)
        opened = opened_connections(one_per_socket(rows), tracer.recent_keys(), lambda _cgroup: "pod", AT_NS)
        names = tracer.cgroup_names()
    ((flow,), (accepted,)) = opened.flows, opened.accepted
    assert (flow.destination, flow.port, flow.attempts, flow.established) == ("127.0.0.1", port, 0, 23)
    assert (accepted.local, accepted.port, accepted.remote, accepted.accepted) == ("127.0.0.1", port, "127.0.0.1", 23)
    assert flow.opened_before
    assert accepted.opened_before
    assert names[flow.cgroup]
    assert flow.cgroup == accepted.cgroup
    assert opened.left_out == {}


def test_connection_that_the_program_saw_being_made_is_left_out_at_both_ends() -> None:
    """7 before and 11 after the program was attached: only the 7 were open before."""
    with connections(7) as (early, _c, _s), attached() as tracer, connections(11) as (late, _c2, _s2):
        opened = opened_connections(
            one_per_socket(rows_of(tracer, early, late)), tracer.recent_keys(), lambda _: "pod", AT_NS
        )
    assert [(flow.port, flow.established) for flow in opened.flows] == [(early, 7)]
    assert [(flow.port, flow.accepted) for flow in opened.accepted] == [(early, 7)]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_bytes_are_exact_and_tell_the_client_from_the_server(family: int, address: str) -> None:
    """Payload counts as the programs wrote it, retransmissions and the SYN left out; the SYN is the client's sign."""
    with connections(1, family, address) as (port, (client,), (server,)), attached() as tracer:
        client.sendall(b"x" * 100_003)
        received = 0
        while received < 100_003:
            received += len(server.recv(1 << 16))
        server.sendall(b"y" * 77)
        assert client.recv(100) == b"y" * 77
        rows = {row.inode: row for row in rows_of(tracer, port)}
        own, far = rows[os.fstat(client.fileno()).st_ino], rows[os.fstat(server.fileno()).st_ino]
    assert (own.bytes_sent - own.bytes_retransmitted, own.bytes_received) == (100_003, 77)
    assert (far.bytes_sent - far.bytes_retransmitted, far.bytes_received) == (77, 100_003)
    assert (own.bytes_acked, far.bytes_acked) == (100_004, 77)
    assert (role_of(own, ()), role_of(far, ())) == ("client", "server")
    assert address_text(own.remote) == address


def test_roles_hold_without_a_backlog_and_when_the_listener_is_gone() -> None:
    """A listener with backlog 0 leaves no mark at its connections: the acknowledged SYN alone tells."""
    with ExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        port = listener.getsockname()[1]
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        server = stack.enter_context(listener.accept()[0])
        listener.close()
        with attached() as tracer:
            rows = {row.inode: row for row in rows_of(tracer, port)}
        roles = [role_of(rows[os.fstat(end.fileno()).st_ino], ()) for end in (client, server)]
    assert roles == ["client", "server"]


def test_descriptor_that_forks_share_is_one_connection() -> None:
    """A child that inherits a connection does not make it two."""
    with connections(1) as (port, (client,), _servers), attached() as tracer:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[client.fileno()]) as child:
            rows = rows_of(tracer, port)
            holders = {row.process for row in rows if row.inode == os.fstat(client.fileno()).st_ino}
            assert holders == {os.getpid(), child.pid}
            assert child.stdin is not None
            child.stdin.close()
        opened = opened_connections(one_per_socket(rows), (), lambda _cgroup: "pod", AT_NS)
    assert [flow.established for flow in opened.flows] == [1]


def test_half_closed_connections_are_open_and_time_wait_is_not() -> None:
    """One end has sent its FIN: the connection lives. Both have: nothing of it is a file any more."""
    with connections(2) as (port, (half, whole), (server, gone)), attached() as tracer:
        half.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        while half.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != FIN_WAIT2:
            time.sleep(0.001)
        whole.close()
        gone.close()
        opened = opened_connections(one_per_socket(rows_of(tracer, port)), (), lambda _cgroup: "pod", AT_NS)
    assert sum(flow.accepted for flow in opened.accepted) == 1
    assert sum(flow.established for flow in opened.flows) == 1
    assert opened.left_out == {}


def test_socket_that_two_pods_hold_is_counted_and_nobodys() -> None:
    """A descriptor passed from one pod to another: the holder decides, and two holders decide nothing.

    The client's end is a flow of nobody, so that its address is known; the server's is counted.
    """
    with connections(1) as (port, _clients, _servers), attached() as tracer:
        rows = rows_of(tracer, port)
    passed = [row._replace(cgroup=row.cgroup + 1) for row in rows if row.state != 10]
    opened = opened_connections(one_per_socket([*rows, *passed]), (), str, AT_NS)
    assert [(flow.cgroup, flow.established) for flow in opened.flows] == [(SHARED, 1)]
    assert (opened.accepted, opened.left_out) == ([], {"shared_socket": 1})


def test_sockets_of_another_network_namespace_are_seen() -> None:
    """A process in a network of its own, nested as in a pod: its connection is there with its namespace."""
    code = (
        "import socket, subprocess, sys; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True);"
        "s = socket.create_server(('127.0.0.1', 7421)); c = socket.create_connection(('127.0.0.1', 7421));"
        "a, _ = s.accept(); print('up', flush=True); sys.stdin.read()"
    )
    command = ["unshare", "--net", sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        with attached() as tracer:
            rows = [row for row in rows_of(tracer, 7421) if row.process == child.pid]
        assert child.stdin is not None
        child.stdin.close()
    assert len(rows) == 3
    assert {row.namespace for row in rows} == {rows[0].namespace}
    assert rows[0].namespace != Path("/proc/self/ns/net").stat().st_ino


def test_process_without_capability_reads_the_iterator() -> None:
    """The descriptor is all that a reader needs: uid 65534, no capability, no new privileges."""
    with connections(1) as (port, _clients, _servers), attached() as tracer:
        descriptor = tracer.take_socket_iterator()
        assert descriptor is not None
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all"]
        command += ["--inh-caps=-all", "--no-new-privs", "cat"]
        done = subprocess.run(command, stdin=descriptor, capture_output=True, check=True)
        os.close(descriptor)
    assert port.to_bytes(2, "little") in done.stdout
