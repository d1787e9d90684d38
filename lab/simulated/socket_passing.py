"""Connections of a simulated pod's process that change hands: passed to another process, inherited, or half closed.

Standard library only; runs in a simulated pod.
"""

import ctypes
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import connect_modes  # type: ignore[import-not-found]  # beside this file, which runs without the package

PR_SET_PDEATHSIG = 1
KEPT: list[socket.socket] = []  # accepted by a listener of the kind `keep`


def wait_for_connections(count: int) -> list[socket.socket]:
    """Return the connections of this process once there are so many: connect() returns before accept()."""
    while len(connect_modes.HELD_SOCKETS) + len(KEPT) < count:
        time.sleep(0.01)
    return [*connect_modes.HELD_SOCKETS, *KEPT]


def take_sockets(path: str) -> None:
    """Take the connections that one other process passes at the path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
        Path(path).unlink(missing_ok=True)
        waiting.bind(path)
        waiting.listen(1)
        passing = waiting.accept()[0]
        Path(path).unlink()
    with passing:
        while True:
            one, descriptors, _flags, _address = socket.recv_fds(passing, 1, 1)
            if not one:
                return
            KEPT.extend(socket.socket(fileno=descriptor) for descriptor in descriptors)
            passing.sendall(one)


def start_taking(command: dict[str, Any]) -> dict[str, Any]:
    """Take connections at the path `take`, in a thread."""
    threading.Thread(target=take_sockets, args=(command["take"],), daemon=True).start()
    return {}


def pass_sockets(command: dict[str, Any]) -> dict[str, Any]:
    """Pass `count` connections to the process that waits at the path `pass`, and close them unless `keep`.

    unix(7), SCM_RIGHTS.
    """
    held = wait_for_connections(command["count"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as passing:
        while passing.connect_ex(command["pass"]):  # the other process does not listen yet
            time.sleep(0.01)
        for connection in held:
            socket.send_fds(passing, [b"+"], [connection.fileno()])
            passing.recv(1)  # the other process has it
    if not command["keep"]:
        for connection in held:
            connection.close()
        connect_modes.HELD_SOCKETS.clear()
        KEPT.clear()
    return {}


def half_close(command: dict[str, Any]) -> dict[str, Any]:
    """End this half of `halfClose` connections: a FIN is sent, and they stay open."""
    for connection in wait_for_connections(command["halfClose"]):
        connection.shutdown(socket.SHUT_WR)
    return {}


def fork_holder(command: dict[str, Any]) -> dict[str, Any]:
    """Fork a child that inherits `fork` connections and keeps them for as long as this process lives."""
    wait_for_connections(command["fork"])
    if not os.fork():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            signal.pause()
    return {}
