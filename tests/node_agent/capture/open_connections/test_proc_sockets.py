"""proc_sockets.py: which end of a connection a socket is, what is left out, and the bounds of reading."""

import resource
from pathlib import Path

import pytest

from node_agent.capture.open_connections.proc_sockets import (
    ESTABLISHED,
    LISTEN,
    MOST_SOCKETS,
    NamespaceTable,
    Recent,
    Socket,
    open_connections,
    parse_socket,
    scan,
    socket_table,
)

CLIENT, SERVER, OTHER = "pod-client", "pod-server", "pod-other"


def listening(port: int, inode: int = 900) -> Socket:
    """A listener on every address."""
    return Socket("::", port, "::", 0, LISTEN, inode)


def established(local: str, port: int, remote: str, remote_port: int, inode: int) -> Socket:
    """One end of a connection."""
    return Socket(local, port, remote, remote_port, ESTABLISHED, inode)


NEAR = established("10.1.0.2", 40001, "10.1.0.3", 8080, 1)
FAR = established("10.1.0.3", 8080, "10.1.0.2", 40001, 2)
BOTH_HIGH = established("10.1.0.2", 40001, "10.1.0.3", 39092, 1)
BOTH_HIGH_FAR = established("10.1.0.3", 39092, "10.1.0.2", 40001, 2)


NOTHING_RECENT = Recent(set())


@pytest.mark.parametrize(
    ("tables", "sources", "left_out"),
    [
        pytest.param([(CLIENT, [NEAR]), (SERVER, [listening(8080), FAR])], [CLIENT], {}, id="both ends here"),
        pytest.param([(CLIENT, [NEAR])], [CLIENT], {}, id="the server is elsewhere"),
        pytest.param([(SERVER, [listening(8080), FAR])], [], {}, id="the client is elsewhere"),
        pytest.param([(SERVER, [FAR])], [], {}, id="a server that stopped listening"),
        pytest.param(
            [(CLIENT, [BOTH_HIGH]), (SERVER, [listening(39092), BOTH_HIGH_FAR])],
            [CLIENT],
            {},
            id="a server's high port",
        ),
        pytest.param(
            [(CLIENT, [BOTH_HIGH])], [], {"direction_unknown": 1}, id="a high port whose listener is not seen"
        ),
        pytest.param([(None, [NEAR])], [], {"shared_namespace": 1}, id="a namespace of two pods, or of the node"),
    ],
)
def test_client_side_is_decided_by_listeners_else_by_ports_else_left_out(
    tables: list[tuple[str | None, list[Socket]]], sources: list[str], left_out: dict[str, int]
) -> None:
    """A connection open before the window has one source, its client; what cannot be known is counted."""
    flows, counts = open_connections([NamespaceTable(*table) for table in tables], NOTHING_RECENT, 7)
    assert [flow.pod_uid for flow in flows] == sources
    assert counts == left_out


def test_connection_that_was_seen_being_made_is_no_flow() -> None:
    """What the kernel side counted is not counted again; if it could not note all of them, none is recorded."""
    recent = {("10.1.0.2", 40001, "10.1.0.3", 8080)}
    table = [NamespaceTable(CLIENT, [NEAR])]
    assert open_connections(table, Recent(recent), 7) == ([], {})
    assert open_connections(table, Recent(set(), full=True), 7) == ([], {"recent_full": 1})


@pytest.mark.parametrize(
    "row",
    [
        "",
        "  sl  local_address rem_address   st tx_queue",
        "0: 0100007F:1F90 0100007F:1F90 06 0:0 0:0 0 0 0 7 1",
        "0: 0100007F 0100007F:1F90 01 0:0 0:0 0 0 0 7 1",
        "0: 0100007F:XYZ 0100007F:1F90 01 0:0 0:0 0 0 0 7 1",
        "0: 01007F:1F90 0100007F:1F90 01 0:0 0:0 0 0 0 7 1",
        "0: 0100007F:1F90 0100007F:1F90 01 0:0 0:0 0 0 0 inode 1",
    ],
)
def test_row_of_another_form_is_passed_over(row: str) -> None:
    """The header, other states and whatever a kernel may print one day."""
    assert parse_socket(row) is None


POD = "2dc5e8c6-1111-4222-8333-%012x"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "%4d: 0A02000A:01BB %08X:%04X 01 00000000:00000000 00:00000000 00000000     0        0 %d 1 x 20 4 30 10 -1\n"


def test_table_of_the_nodes_network_is_read_once_for_all_its_pods(tmp_path: Path) -> None:
    """12 pods in a network of 100,000 sockets: one read, bounded in memory; what is beyond the bound is counted."""
    sockets, pods = 100_000, 12
    table = tmp_path / "table"
    rows = (ROW % (n, 0xC6000000 + n, 32768 + n % 28000, 1000000 + n) for n in range(sockets))
    table.write_text(HEADER + "".join(rows))
    proc = tmp_path / "proc"
    groups = {1: "0::/init.scope\n"}
    groups |= {20 + n: f"0::/kubepods/besteffort/pod{POD % n}/{'c' * 64}\n" for n in range(pods)}
    for pid, group in groups.items():
        (proc / str(pid) / "net").mkdir(parents=True)
        (proc / str(pid) / "cgroup").write_text(group)
        (proc / str(pid) / "net" / "tcp").hardlink_to(table)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = scan(proc, lambda: NOTHING_RECENT, 7, lambda: 0.0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert opened.flows == []
    assert opened.left_out["too_many_sockets"] == sockets - MOST_SOCKETS
    assert opened.not_read == {}
    assert grown < 64 << 10


def test_scan_whose_time_is_over_counts_the_pods_that_it_has_not_read(tmp_path: Path) -> None:
    """The bound is of the whole scan: what is not read is counted, never taken for empty."""
    proc = tmp_path / "proc"
    for pid in (20, 21):
        (proc / str(pid) / "net").mkdir(parents=True)
        (proc / str(pid) / "cgroup").write_text(f"0::/kubepods/besteffort/pod{POD % pid}/{'c' * 64}\n")
        (proc / str(pid) / "net" / "tcp").write_text(HEADER)
    times = iter([0.0, 1.0, 60.0])
    assert scan(proc, lambda: NOTHING_RECENT, 7, lambda: next(times)).not_read == {"time_over": 1}


def test_no_table_is_not_an_empty_table() -> None:
    """A process that is gone has none; this one's own is at least there."""
    assert socket_table(Path("/proc"), 1 << 30) is None
    assert socket_table(Path("/proc/self/.."), int(Path("/proc/self").readlink().name)) is not None
