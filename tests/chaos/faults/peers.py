"""A server in a cgroup and a client beside it, in a network namespace of their own. Standard library only.

    unshare --net python3 -I -S -B peers.py CGROUP

Serves port 18099 and 18098 on every address of loopback. Reads one JSON request per line: a connect, from inside the
cgroup with `"inside": true`; answers `{"error": name or null, "seconds": n}`. With `"ask": name` it is a question of
DNS to a server outside of the cgroup, on port 53, which answers that there is no such name.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

PORTS = (18098, 18099)


def loopback_up() -> None:
    """Set the interface up: SIOCSIFFLAGS with IFF_UP and IFF_RUNNING."""
    import fcntl

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41).ljust(40, b"\0"))


def serve(cgroup: Path) -> None:
    """Accept and close, for ever; requests on a pipe of the parent are connects from inside the cgroup."""
    (cgroup / "cgroup.procs").write_text("0")
    for port in PORTS:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        threading.Thread(target=accept, args=[listener], daemon=True).start()


def accept(listener: socket.socket) -> None:
    """Close each connection."""
    while True:
        listener.accept()[0].close()


def serve_names(server: socket.socket) -> None:
    """Answer every question with NXDOMAIN."""
    while True:
        query, client = server.recvfrom(2048)
        server.sendto(query[:2] + b"\x84\x03" + query[4:], client)


def ask(request: dict) -> dict:  # type: ignore[type-arg]
    """Ask for a name once. Another process answers: a busy machine may let it wait, so `timeout` is long by default."""
    labels = [label.encode() for label in request["ask"].split(".")]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(request.get("timeout", 5))
        client.sendto(b"ab\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1", (request["address"], 53))
        try:
            client.recv(2048)
            error = None
        except OSError as failed:
            error = type(failed).__name__
    return {"error": error, "seconds": time.monotonic() - begun}


def connect(request: dict) -> dict:  # type: ignore[type-arg]
    """Connect once, or ask."""
    if "ask" in request:
        return ask(request)
    family = socket.AF_INET6 if ":" in request["address"] else socket.AF_INET
    begun = time.monotonic()
    with socket.socket(family) as client:
        client.settimeout(request.get("timeout", 0.4))
        if "source" in request:
            client.bind((request["source"], 0))
        try:
            client.connect((request["address"], request.get("port", PORTS[1])))
            error = None
        except OSError as failed:
            error = type(failed).__name__
    return {"error": error, "seconds": time.monotonic() - begun}


def work(read: int, write: int) -> None:
    """Answer requests until the end of input."""
    with os.fdopen(read) as requests:
        for line in requests:
            os.write(write, json.dumps(connect(json.loads(line))).encode() + b"\n")


def say(text: str) -> None:
    """Answer."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """Run both."""
    loopback_up()
    read_request, write_request = os.pipe()
    read_answer, write_answer = os.pipe()
    if os.fork() == 0:
        os.close(write_request)
        serve(Path(sys.argv[1]))
        os.write(write_answer, b"serving\n")
        work(read_request, write_answer)
        os._exit(0)
    os.close(read_request)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=serve_names, args=[names], daemon=True).start()
    answers = os.fdopen(read_answer)
    answers.readline()
    say("serving\n")
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("inside"):
            os.write(write_request, line.encode())
            say(answers.readline())
        else:
            say(json.dumps(connect(request)) + "\n")


if __name__ == "__main__":
    main()
