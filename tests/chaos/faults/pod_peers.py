"""A server and a client, each in a network namespace of its own, as pods of a node are. Standard library only.

    unshare --net python3 -I -S -B pod_peers.py serve          accepts on ports 18098 and 18099, and sends what it gets
    unshare --net python3 -I -S -B pod_peers.py call CGROUP    reads a JSON request per line: a connect from the cgroup

Answers `{"error": name or null, "seconds": n}`, the seconds of the handshake. With `"send": n` the client sends n bytes
and awaits them back; `same` says whether they are.
"""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

PORTS = (18098, 18099)


def serve() -> None:
    """Send back whatever comes, for ever."""
    for port in PORTS:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        threading.Thread(target=accept, args=[listener]).start()
    print("ready", flush=True)  # noqa: T201 - the one who waits reads it


def accept(listener: socket.socket) -> None:
    """Serve each connection."""
    while True:
        threading.Thread(target=echo, args=[listener.accept()[0]], daemon=True).start()


def echo(connection: socket.socket) -> None:
    """Send back until the end."""
    with connection:
        while content := connection.recv(1 << 16):
            connection.sendall(content)


def call(cgroup: str) -> None:
    """Answer requests until the end of input."""
    (Path(cgroup) / "cgroup.procs").write_text("0")
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        print(json.dumps(connect(json.loads(line))), flush=True)  # noqa: T201


def connect(request: dict) -> dict:  # type: ignore[type-arg]
    """Connect once."""
    begun = time.monotonic()
    try:
        where = (request["address"], request.get("port", PORTS[1]))
        with socket.create_connection(where, timeout=request.get("timeout", 5)) as client:
            found = {"error": None, "seconds": time.monotonic() - begun}
            if request.get("send"):
                found["same"] = exchange(client, os.urandom(request["send"]))
            return found
    except OSError as failed:
        return {"error": type(failed).__name__, "seconds": time.monotonic() - begun}


def exchange(client: socket.socket, content: bytes) -> bool:
    """Send all and read as much; whether it is the same."""
    threading.Thread(target=client.sendall, args=[content]).start()
    received = b""
    while len(received) < len(content) and (part := client.recv(1 << 16)):
        received += part
    return received == content


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        call(sys.argv[2])
