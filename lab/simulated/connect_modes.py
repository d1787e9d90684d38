"""Connect modes of pod_program.py: each makes one attempt (or as many as it states) and returns its errno, 0 if
established.

Standard library only; runs in a simulated pod.
"""

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import network_namespace  # type: ignore[import-not-found]  # beside this file, which runs without the package
import port_scans  # type: ignore[import-not-found]

MPTCP = 262
SOL_MPTCP = 284
MPTCP_TCPINFO = 2
SUBFLOWS_SECONDS = 30
MOST_SYNS = 127  # tcp(7), TCP_SYNCNT's maximum: more than four minutes, whatever the kernel's back-off is
FASTOPEN_CONNECT = 30
PR_SET_NAME = 15
HELD_SOCKETS: list[socket.socket] = []
ESCAPES = b"\x1b[2J\x1b]0;x\x07"


def client(command: dict[str, Any], protocol: int = 0) -> socket.socket:
    """An unconnected socket of the address's family; gives up after one retransmitted SYN, or after `syns`."""
    client_socket = socket.socket(
        socket.AF_INET6 if ":" in command["address"] else socket.AF_INET, socket.SOCK_STREAM, protocol
    )
    if not protocol:
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, command.get("syns", 1))
    return client_socket


def connect(client_socket: socket.socket, command: dict[str, Any]) -> int:
    """Connect once and return the errno, 0 if established."""
    try:
        client_socket.connect((command["address"], command["port"]))
    except OSError as error:
        return error.errno or errno.ETIMEDOUT
    return 0


def close(command: dict[str, Any]) -> int:
    """Connect, then close."""
    with client(command) as client_socket:
        return connect(client_socket, command)


def connect_and_be_reset(command: dict[str, Any]) -> int:
    """Connect to a server that resets at once, and close; 0 also where the reset arrives before connect() returns.

    A SYN that is answered with a reset is ECONNREFUSED: ECONNRESET says that the connection was established.
    """
    failed = close(command)
    return 0 if failed == errno.ECONNRESET else failed


def hold(command: dict[str, Any]) -> int:
    """Connect and stay connected until the pod ends or the mode `release` closes it."""
    client_socket = client(command)
    failed = connect(client_socket, command)
    if failed:
        client_socket.close()
    else:
        HELD_SOCKETS.append(client_socket)
    return failed


def errno_of_child(connect_once: Callable[[], int]) -> int:
    """Run the function in a forked child and return the child's exit code."""
    child = os.fork()
    if not child:
        try:
            os._exit(connect_once())
        except BaseException:  # noqa: BLE001 - a child that continued would answer in its parent's place
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(command: dict[str, Any]) -> int:
    """Connect in a separate process that exits immediately."""
    return errno_of_child(lambda: close(command))


def execute(command: dict[str, Any]) -> int:
    """Connect in a forked child, then again in the program that the child executes."""

    def child() -> int:
        failed = close(command)
        if failed:
            return failed
        path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        code = f"{path}import connect_modes; sys.exit(connect_modes.close({command}))"
        return os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])

    return errno_of_child(child)


def connect_mapped(command: dict[str, Any]) -> int:
    """Connect an IPv6 socket to an IPv4 address, as ::ffff:a.b.c.d."""
    return close({**command, "address": f"::ffff:{command['address']}"})


def connect_self(command: dict[str, Any]) -> int:
    """Connect a socket to its own address and port (simultaneous open with itself)."""
    with client(command) as client_socket:
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client_socket.bind((command["address"], command["port"]))
        return connect(client_socket, command)


def close_early(command: dict[str, Any]) -> int:
    """Start a non-blocking connect and close the socket before it completes."""
    with client(command) as client_socket:
        client_socket.setblocking(False)
        return client_socket.connect_ex((command["address"], command["port"]))


def leave_pending(command: dict[str, Any]) -> int:
    """Start a non-blocking connect and leave it pending."""
    client_socket = client(command)
    client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, MOST_SYNS)
    client_socket.setblocking(False)
    HELD_SOCKETS.append(client_socket)
    return client_socket.connect_ex((command["address"], command["port"]))


def reconnect(command: dict[str, Any]) -> int:
    """Connect to a closed port (`closed`), then to the open one with the same socket."""
    with client(command) as client_socket:
        if not connect(client_socket, {**command, "port": command["closed"]}):
            raise RuntimeError(f"port {command['closed']} took a connection, expected it closed")
        return connect(client_socket, command)


def fast_open(command: dict[str, Any]) -> int:
    """Connect with TCP Fast Open: data travels with the SYN once there is a cookie."""
    with client(command) as client_socket:
        client_socket.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
        failed = connect(client_socket, command)
        if not failed and not command.get("unwritten"):
            client_socket.sendall(b"x")
            client_socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                client_socket.recv(1)
        return failed


def subflow_states(mptcp_socket: socket.socket) -> list[int]:
    """The TCP state of each subflow; 1 is established (linux/mptcp.h: struct mptcp_subflow_data, then a byte each)."""
    room = ctypes.create_string_buffer(struct.pack("=4I", 16, 0, 0, 1), 16 + 8)
    length = ctypes.c_uint32(len(room))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(mptcp_socket.fileno(), SOL_MPTCP, MPTCP_TCPINFO, room, ctypes.byref(length)):
        raise OSError(ctypes.get_errno(), "getsockopt MPTCP_TCPINFO")
    return list(room.raw[16 : 16 + struct.unpack_from("=4I", room)[1]])


def multipath(command: dict[str, Any]) -> int:
    """Connect with MPTCP, send, and close when `subflows` of the connection are established (0: at once)."""
    with client(command, MPTCP) as client_socket:
        failed = connect(client_socket, command)
        if not failed:
            client_socket.sendall(b"x")
            deadline = time.monotonic() + SUBFLOWS_SECONDS
            while command.get("subflows") and subflow_states(client_socket) != [1] * command["subflows"]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"states of subflows {subflow_states(client_socket)}, expected {command}")
                time.sleep(0.01)
        return failed


def connect_renamed(command: dict[str, Any]) -> int:
    """Connect under a process name that contains escape sequences."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, ESCAPES)
    return close(command)


def run_share(command: dict[str, Any], errnos: Counter[int]) -> None:
    """Make one thread's share of the connects."""
    for _ in range(command["share"]):
        errnos[close(command)] += 1


def threads(command: dict[str, Any]) -> Counter[int]:
    """Make all connects from `threads` threads of this process at once."""
    shares = [command["count"] // command["threads"]] * command["threads"]
    shares[0] += command["count"] - sum(shares)
    counts = [Counter[int]() for _ in shares]
    running = [
        threading.Thread(target=run_share, args=({**command, "share": share}, errnos))
        for share, errnos in zip(shares, counts, strict=True)
    ]
    for worker in running:
        worker.start()
    for worker in running:
        worker.join()
    return sum(counts, Counter())


def container(command: dict[str, Any]) -> Counter[int]:
    """Make all connects in a separate container: cgroups `folders`, removed afterwards."""

    def child() -> int:
        for folder in command["folders"]:
            Path(folder, "cgroup.procs").write_text(str(os.getpid()))
        return max(close(command) for _ in range(command["count"]))

    failed = errno_of_child(child)
    for folder in command["folders"]:
        Path(folder).rmdir()
    return Counter({failed: command["count"]})


def spread(command: dict[str, Any]) -> Counter[int]:
    """Connect once to each of `count` addresses, starting at `address`."""
    first = int.from_bytes(socket.inet_aton(command["address"]), "big")
    addresses = (socket.inet_ntoa((first + number).to_bytes(4, "big")) for number in range(command["count"]))
    return Counter(close({**command, "address": address}) for address in addresses)


def release(_command: dict[str, Any]) -> Counter[int]:
    """Close every held socket; makes no connect."""
    while HELD_SOCKETS:
        HELD_SOCKETS.pop().close()
    return Counter()


SINGLE_MODES = {
    "close": close,
    "reset": connect_and_be_reset,
    "hold": hold,
    "fork": fork,
    "exec": execute,
    "mapped": connect_mapped,
    "self": connect_self,
    "abandon": close_early,
    "pending": leave_pending,
    "again": reconnect,
    "fastopen": fast_open,
    "mptcp": multipath,
    "renamed": connect_renamed,
}
BULK_MODES = {
    "container": container,
    "threads": threads,
    "spread": spread,
    "scan": port_scans.scan,
    "half-open": port_scans.half_open,
    "release": release,
}


def make_connects(command: dict[str, Any]) -> dict[str, Any]:
    """Make exactly `count` connects, in `network` if that is given; return established, failed, counts by errno name
    and the longest duration in seconds.
    """
    with network_namespace.in_network(command.get("network")):
        return count_connects(command)


def count_connects(command: dict[str, Any]) -> dict[str, Any]:
    """Make the connects and return their counts."""
    longest, errnos = 0.0, Counter[int]()
    if command["mode"] in BULK_MODES:
        errnos = BULK_MODES[command["mode"]](command)
    else:
        for _ in range(command["count"]):
            started = time.monotonic()
            errnos[SINGLE_MODES[command["mode"]](command)] += 1
            longest = max(longest, time.monotonic() - started)
    return {
        "established": errnos[0],
        "failed": errnos.total() - errnos[0],
        "errnos": {errno.errorcode[code]: count for code, count in errnos.items() if code},
        "longest_seconds": longest,
    }
