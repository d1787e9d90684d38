"""What runs in a pod of the lab: listens, and connects as told, one JSON command a line. Standard library only.

First line: {"cgroups": [...], "netns": path, "listen": [ports]}. Then {"address", "port", "count", "mode"} with mode
`close`, `hold` (kept open) or `fork` (each connect from a process of its own that ends at once).
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
HELD: list[socket.socket] = []


def enter(start: dict[str, Any]) -> None:
    """The process dies with its parent and is in the pod's cgroups and network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for folder in start["cgroups"]:
        with open(f"{folder}/cgroup.procs", "w") as procs:  # noqa: PTH123
            procs.write(str(os.getpid()))
    with open(start["netns"]) as namespace:  # noqa: PTH123
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def serve(port: int) -> None:
    """Connections to the port are accepted for as long as the pod lives, in both families."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(64):
                pass

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def attempt(address: str, port: int, hold: bool) -> bool:
    """Whether one connect was established."""
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    client.settimeout(5)
    try:
        client.connect((address, port))
    except OSError:
        client.close()
        return False
    if hold:
        HELD.append(client)
    else:
        client.close()
    return True


def short_lived(address: str, port: int) -> tuple[bool, float]:
    """One connect from a process of its own: whether it was established, and how long the process lived."""
    started = time.monotonic()
    child = os.fork()
    if not child:
        os._exit(0 if attempt(address, port, False) else 1)
    _, status = os.waitpid(child, 0)
    return status == 0, time.monotonic() - started


def carry_out(told: dict[str, Any]) -> dict[str, Any]:
    """What came of exactly `count` connects."""
    established, longest = 0, 0.0
    for _ in range(told["count"]):
        if told["mode"] == "fork":
            good, seconds = short_lived(told["address"], told["port"])
            longest = max(longest, seconds)
        else:
            good = attempt(told["address"], told["port"], told["mode"] == "hold")
        established += good
    return {"established": established, "failed": told["count"] - established, "longest_seconds": longest}


def main() -> None:
    """Obey stdin until it ends."""
    start = json.loads(sys.stdin.readline())
    enter(start)
    for port in start["listen"]:
        serve(port)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(carry_out(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
