"""What runs in a pod of the lab: listens, and connects as told, one JSON command a line. Standard library only.

First line: {"cgroups": [...], "netns": path, "listen": [ports, or {"port", "kind"}]}. Then {"address", "port", "count",
"mode"} with a mode of ways.py, among them `close`, `hold` (kept open) and `fork` (each connect from a process of its
own that ends at once); or {"run": [...]}, a command to run in the pod; or {"deafen": 3}: it listens no more
after so many.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import ways  # type: ignore[import-not-found]  # beside this file, which runs without the package

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
LISTENERS: list[socket.socket] = []
TAKEN: list[str] = []


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


def listener_of(port: int, kind: str) -> socket.socket:
    """A listening socket of a kind: plain (both families), `fastopen`, `mptcp` (IPv4), `reset`."""
    if kind == "mptcp":
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, ways.MPTCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(512)
        return listener
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    if kind == "fastopen":
        Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("3")
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    return listener


def serve(port: int, kind: str = "plain") -> None:
    """Connections to the port are accepted for as long as the pod lives; `reset` ones are reset at once."""
    listener = listener_of(port, kind)
    LISTENERS.append(listener)

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(64):
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # deafened
                return
            TAKEN.append(kind)
            if kind == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
                connection.close()
                continue
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def obey(told: dict[str, Any]) -> dict[str, Any]:
    """What came of one command."""
    if "run" in told:
        done = subprocess.run(told["run"], capture_output=True, text=True, check=False)
        return {"code": done.returncode, "output": done.stdout + done.stderr}
    if "deafen" in told:
        while len(TAKEN) < told["deafen"]:
            time.sleep(0.01)
        while LISTENERS:
            listener = LISTENERS.pop()
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            listener.close()
        return {}
    answer: dict[str, Any] = ways.carry_out(told)
    return answer


def answer_to(line: str) -> dict[str, Any]:
    """The answer to one line of stdin; `error` where what it says failed."""
    try:
        return obey(json.loads(line))
    except Exception:  # noqa: BLE001 - whatever it is, who told it must hear of it
        return {"error": traceback.format_exc()}


def main() -> None:
    """Obey stdin until it ends; Ctrl-C is for whoever started the pods."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start = json.loads(sys.stdin.readline())
    enter(start)
    for one in start["listen"]:
        if isinstance(one, int):
            serve(one)
        else:
            serve(one["port"], one["kind"])
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer_to(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
