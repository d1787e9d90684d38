"""Ways to connect, for pod_program.py: each makes one attempt (or as many as it says) and returns its errno, 0 for
established. Standard library only; runs in a pod of the lab.
"""

import contextlib
import ctypes
import errno
import os
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

MPTCP = 262
FASTOPEN_CONNECT = 30
PR_SET_NAME = 15
HELD: list[socket.socket] = []
ESCAPES = b"\x1b[2J\x1b]0;x\x07"


def client(told: dict[str, Any], protocol: int = 0) -> socket.socket:
    """An unconnected socket of the address's family; gives up after one repeated SYN, or `syns`."""
    made = socket.socket(socket.AF_INET6 if ":" in told["address"] else socket.AF_INET, socket.SOCK_STREAM, protocol)
    if not protocol:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, told.get("syns", 1))
    return made


def connect(made: socket.socket, told: dict[str, Any]) -> int:
    """The errno of one connect."""
    try:
        made.connect((told["address"], told["port"]))
    except OSError as error:
        return error.errno or errno.ETIMEDOUT
    return 0


def close(told: dict[str, Any]) -> int:
    """Connect and close."""
    with client(told) as made:
        return connect(made, told)


def hold(told: dict[str, Any]) -> int:
    """Connect and stay connected until the pod ends or is told to `release`."""
    made = client(told)
    failed = connect(made, told)
    if failed:
        made.close()
    else:
        HELD.append(made)
    return failed


def in_child(way: Callable[[], int]) -> int:
    """The errno that a child process ended with."""
    child = os.fork()
    if not child:
        try:
            os._exit(way())
        except BaseException:  # noqa: BLE001 - a child that went on would answer in its parent's place
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(told: dict[str, Any]) -> int:
    """Connect in a process of its own that ends at once."""
    return in_child(lambda: close(told))


def execute(told: dict[str, Any]) -> int:
    """Connect in a forked child, then again in the program that the child becomes."""

    def child() -> int:
        failed = close(told)
        if failed:
            return failed
        folder = str(Path(__file__).parent)
        code = f"import sys; sys.path.insert(0, {folder!r}); import ways; sys.exit(ways.close({told}))"
        return os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])

    return in_child(child)


def mapped(told: dict[str, Any]) -> int:
    """Connect an IPv6 socket to an IPv4 address, as ::ffff:a.b.c.d."""
    return close({**told, "address": f"::ffff:{told['address']}"})


def itself(told: dict[str, Any]) -> int:
    """Connect a socket to its own address and port (simultaneous open with itself)."""
    with client(told) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((told["address"], told["port"]))
        return connect(made, told)


def abandon(told: dict[str, Any]) -> int:
    """Begin to connect and close before it completes."""
    with client(told) as made:
        made.setblocking(False)
        return made.connect_ex((told["address"], told["port"]))


def pending(told: dict[str, Any]) -> int:
    """Begin to connect and leave it so."""
    made = client(told)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 6)
    made.setblocking(False)
    HELD.append(made)
    return made.connect_ex((told["address"], told["port"]))


def again(told: dict[str, Any]) -> int:
    """Connect to a closed port first (`closed`), then to the open one, with the same socket."""
    with client(told) as made:
        if not connect(made, {**told, "port": told["closed"]}):
            raise RuntimeError(f"port {told['closed']} took a connection, expected it closed")
        return connect(made, told)


def fast_open(told: dict[str, Any]) -> int:
    """Connect with TCP Fast Open: data goes out with the SYN once there is a cookie."""
    with client(told) as made:
        made.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
        failed = connect(made, told)
        if not failed and not told.get("unwritten"):
            made.sendall(b"x")
            made.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                made.recv(1)
        return failed


def multipath(told: dict[str, Any]) -> int:
    """Connect with MPTCP, send and stay until the peer closes or `seconds` have passed."""
    with client(told, MPTCP) as made:
        failed = connect(made, told)
        if not failed:
            made.sendall(b"x")
            time.sleep(told.get("seconds", 0))
        return failed


def renamed(told: dict[str, Any]) -> int:
    """Connect under a comm name that holds escape sequences."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, ESCAPES)
    return close(told)


def thread(told: dict[str, Any], errnos: Counter[int]) -> None:
    """One thread's share of the connects."""
    for _ in range(told["share"]):
        errnos[close(told)] += 1


def threads(told: dict[str, Any]) -> Counter[int]:
    """All connects from `threads` threads of this process at once."""
    shares = [told["count"] // told["threads"]] * told["threads"]
    shares[0] += told["count"] - sum(shares)
    counts = [Counter[int]() for _ in shares]
    running = [
        threading.Thread(target=thread, args=({**told, "share": share}, errnos))
        for share, errnos in zip(shares, counts, strict=True)
    ]
    for one in running:
        one.start()
    for one in running:
        one.join()
    return sum(counts, Counter())


def container(told: dict[str, Any]) -> Counter[int]:
    """All connects in a container of its own (cgroups made for it, `folders`) that is gone afterwards."""

    def child() -> int:
        for folder in told["folders"]:
            Path(folder, "cgroup.procs").write_text(str(os.getpid()))
        return max(close(told) for _ in range(told["count"]))

    failed = in_child(child)
    for folder in told["folders"]:
        Path(folder).rmdir()
    return Counter({failed: told["count"]})


def spread(told: dict[str, Any]) -> Counter[int]:
    """One connect to each of `count` addresses from `address` on."""
    first = int.from_bytes(socket.inet_aton(told["address"]), "big")
    addresses = (socket.inet_ntoa((first + number).to_bytes(4, "big")) for number in range(told["count"]))
    return Counter(close({**told, "address": address}) for address in addresses)


def release(_told: dict[str, Any]) -> Counter[int]:
    """Close every socket that is held; no connect."""
    while HELD:
        HELD.pop().close()
    return Counter()


ONE = {
    "close": close,
    "hold": hold,
    "fork": fork,
    "exec": execute,
    "mapped": mapped,
    "self": itself,
    "abandon": abandon,
    "pending": pending,
    "again": again,
    "fastopen": fast_open,
    "mptcp": multipath,
    "renamed": renamed,
}
ALL = {"container": container, "threads": threads, "spread": spread, "release": release}


def carry_out(told: dict[str, Any]) -> dict[str, Any]:
    """What came of exactly `count` connects: established, failed, by errno, and the longest one."""
    longest, errnos = 0.0, Counter[int]()
    if told["mode"] in ALL:
        errnos = ALL[told["mode"]](told)
    else:
        for _ in range(told["count"]):
            started = time.monotonic()
            errnos[ONE[told["mode"]](told)] += 1
            longest = max(longest, time.monotonic() - started)
    return {
        "established": errnos[0],
        "failed": errnos.total() - errnos[0],
        "errnos": {errno.errorcode[code]: count for code, count in errnos.items() if code},
        "longest_seconds": longest,
    }
