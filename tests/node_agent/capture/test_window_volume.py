"""What ends while the agent reads the sockets that are open at a window's end: measured once, or counted as lost."""

from collections.abc import Iterable

from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.capture.kernel_program.map_entries import Kept
from node_agent.capture.open_connections.open_sockets import OpenSockets
from node_agent.capture.open_connections.socket_rows import ESTABLISHED, OpenSocket
from node_agent.capture.window_volume import OpenVolumes
from node_agent.privileged.bpf_structs import CONNECTION, ENDED, ENDPOINTS, MAPPED_PREFIX

LOCAL, REMOTE = MAPPED_PREFIX + bytes((10, 0, 0, 1)), MAPPED_PREFIX + bytes((10, 0, 0, 2))
PORT = (8080).to_bytes(2, "big")
KEY = ENDPOINTS.pack(7, LOCAL, REMOTE, PORT, 0, 0)
FROM, UNTIL = 100, 200
SYN_SENT = 2


def connection(local_port: int) -> bytes:
    """A connection of the flow."""
    return CONNECTION.pack(LOCAL, REMOTE, local_port, PORT, 1)


def row(socket: int, local_port: int, sent: int, state: int = ESTABLISHED) -> OpenSocket:
    """A row of the iterator."""
    return OpenSocket(9, 7, socket, sent, sent, 0, 0, connection(local_port), 5, 0, 0, 40, 0, state)


def end(socket: int, local_port: int, sent: int, at_ns: int = UNTIL + 1) -> bytes:
    """The record of an end."""
    return ENDED.pack(socket, 7, FROM + 1, at_ns, sent, 0, connection(local_port), 40, 0, 0)


def measured(
    kept: dict[int, Kept], rows: Iterable[OpenSocket], ends: bytes, still_kept: Iterable[int] = ()
) -> tuple[int, int, int]:
    """Bytes sent, connections measured, and connections that were not read."""
    counts = Counts(with_volumes=True)
    counts.flows.add(KEY, [1, 1, 0, 1, 1, 0, 0, 0])
    counts.ended += ends
    volumes = OpenVolumes(OpenSockets(), FROM, UNTIL)
    volumes.keep(kept, 0)
    volumes.read_open(rows)
    volumes.add_ended(counts)
    volumes.end_reading(counts, set(still_kept))
    sums = counts.volume_of(KEY)
    return sums.sent, sum(sums.rtt), volumes.lost["open_unread"]


def test_connection_that_ended_before_the_copy_is_measured_by_its_end() -> None:
    """The kernel side kept it no more when the agent looked."""
    assert measured({}, [], end(1, 4001, 1000)) == (1000, 1, 0)


def test_connection_that_ended_before_it_was_read_is_measured_by_its_end() -> None:
    """It was kept, and no process had it when the iterator came."""
    assert measured({1: Kept(KEY, FROM + 1, open=True)}, [], end(1, 4001, 1000)) == (1000, 1, 0)


def test_connection_that_was_read_is_measured_by_the_reading() -> None:
    """What it carried afterwards is the next window's."""
    kept = {1: Kept(KEY, FROM + 1, open=True)}
    assert measured(kept, [row(1, 4001, 300)], end(1, 4001, 1000)) == (300, 1, 0)


def test_socket_that_two_processes_hold_is_measured_once() -> None:
    """A forked process has the same file."""
    kept = {1: Kept(KEY, FROM + 1, open=True)}
    assert measured(kept, [row(1, 4001, 300), row(1, 4001, 300)], b"") == (300, 1, 0)


def test_socket_that_became_another_connection_of_the_flow_is_measured_by_the_end_of_its_first_one() -> None:
    """The kernel gives memory again at once; the later connection is the next window's."""
    kept = {1: Kept(KEY, FROM + 1, open=True)}
    assert measured(kept, [row(1, 4002, 77)], end(1, 4001, 1000)) == (1000, 1, 0)


def test_later_connection_at_the_socket_of_one_that_was_read_is_not_measured() -> None:
    """Between two rows of the iterator."""
    kept = {1: Kept(KEY, FROM + 1, open=True)}
    assert measured(kept, [row(1, 4001, 300), row(1, 4002, 77)], end(1, 4001, 1000)) == (300, 1, 0)


def test_connection_neither_read_nor_ended_is_counted() -> None:
    """No process holds it: it waits to be accepted, or its program has closed it."""
    assert measured({1: Kept(KEY, FROM + 1, open=True)}, [], b"") == (0, 0, 1)


def test_attempt_that_is_still_under_way_or_failed_meanwhile_is_no_loss() -> None:
    """It has carried nothing."""
    kept = {1: Kept(KEY, FROM + 1, open=False), 2: Kept(KEY, FROM + 1, open=False)}
    assert measured(kept, [row(1, 4001, 0, SYN_SENT)], b"", [1]) == (0, 0, 0)


def test_attempt_whose_outcome_was_not_seen_is_measured_if_it_is_open_or_counted() -> None:
    """The kernel skipped a run: one is open all the same, another has no socket any more."""
    kept = {1: Kept(KEY, FROM + 1, open=False), 2: Kept(KEY, FROM + 1, open=False)}
    assert measured(kept, [row(1, 4001, 300)], b"", [1, 2]) == (300, 1, 1)
