"""The process of a simulated pod: listens, and connects on command, one JSON command per line. Standard library only.

First line: {"cgroups": [...], "netns": path, "listen": [ports, or {"port", "kind"}]}. Then one of
{"address", "port", "count", "mode"}: connects in a mode of connect_modes.py, for example `close`, `hold` (stays open)
or `fork` (each connect from a separate process); {"run": [...]}: a command to run in the pod;
{"stopListeningAfter": 3}: stops listening after that many accepted connections; {"listen": 80, "network": path}:
listens in the network of another pod; {"leaveNetwork": true}: goes into a new network namespace; {"take": path}, then
{"pass": path, "count": 3, "keep": false} to another process: its connections change hands; {"halfClose": 3}: ends its
half of so many connections; {"fork": 3}: a child inherits so many. A `network` makes connects in another pod's network,
too.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import connect_modes  # type: ignore[import-not-found]  # beside this file, which runs without the package
import network_namespace  # type: ignore[import-not-found]
import socket_passing  # type: ignore[import-not-found]

PR_SET_PDEATHSIG = 1
LISTENERS: list[socket.socket] = []
ACCEPTED_KINDS: list[str] = []


def enter(start: dict[str, Any]) -> None:
    """Tie this process to its parent's life and move it into the pod's cgroups and network namespace."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for folder in start["cgroups"]:
        with open(f"{folder}/cgroup.procs", "w") as procs:  # noqa: PTH123
            procs.write(str(os.getpid()))
    with open(start["netns"]) as namespace:  # noqa: PTH123
        network_namespace.set_network(namespace.fileno())


def open_listener(port: int, kind: str) -> socket.socket:
    """A listening socket of one kind: `mptcp` is IPv4, `full` has room for three connections."""
    if kind == "mptcp":
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, connect_modes.MPTCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(512)
        return listener
    backlog = 2 if kind == "full" else 512  # the kernel takes one more
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
    if kind == "fastopen":
        Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("3")
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    return listener


def serve(port: int, kind: str = "plain") -> None:
    """Accept connections to the port for as long as the pod lives.

    The kind `reset` resets each one, `keep` keeps it open without reading, `full` accepts none.
    """
    listener = open_listener(port, kind)
    LISTENERS.append(listener)
    if kind == "full":
        return

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(64):
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # shut down by `stopListeningAfter`
                return
            ACCEPTED_KINDS.append(kind)
            if kind == "keep":
                socket_passing.KEPT.append(connection)
                continue
            if kind == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
                connection.close()
                continue
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def run_program(command: dict[str, Any]) -> dict[str, Any]:
    """Run a program in the pod; return its exit code and output."""
    done = subprocess.run(command["run"], capture_output=True, text=True, check=False)
    return {"code": done.returncode, "output": done.stdout + done.stderr}


def stop_listening(command: dict[str, Any]) -> dict[str, Any]:
    """Close every listener after so many accepted connections."""
    while len(ACCEPTED_KINDS) < command["stopListeningAfter"]:
        time.sleep(0.01)
    while LISTENERS:
        listener = LISTENERS.pop()
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        listener.close()
    return {}


def leave_network(_command: dict[str, Any]) -> dict[str, Any]:
    """Move this process into a new network namespace."""
    ctypes.CDLL(None).unshare(network_namespace.CLONE_NEWNET)
    return {}


def listen_elsewhere(command: dict[str, Any]) -> dict[str, Any]:
    """Listen in the network of another pod."""
    with network_namespace.in_network(command["network"]):
        serve(command["listen"])
    return {}


COMMANDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "run": run_program,
    "stopListeningAfter": stop_listening,
    "leaveNetwork": leave_network,
    "listen": listen_elsewhere,
    "take": socket_passing.start_taking,
    "pass": socket_passing.pass_sockets,
    "halfClose": socket_passing.half_close,
    "fork": socket_passing.fork_holder,
}


def run_command(command: dict[str, Any]) -> dict[str, Any]:
    """Run one command and return its result."""
    for word, work in COMMANDS.items():
        if word in command:
            return work(command)
    answer: dict[str, Any] = connect_modes.make_connects(command)
    return answer


def answer_line(line: str) -> dict[str, Any]:
    """Run the command on one line of stdin and return its answer; `error` holds the traceback of a failure."""
    try:
        return run_command(json.loads(line))
    except Exception:  # noqa: BLE001 - the sender of the command reports it
        return {"error": traceback.format_exc()}


def main() -> None:
    """Run the commands on stdin until it ends; Ctrl-C is left to the program that started the pods."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start = json.loads(sys.stdin.readline())
    enter(start)
    for entry in start["listen"]:
        if isinstance(entry, int):
            serve(entry)
        else:
            serve(entry["port"], entry["kind"])
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer_line(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
