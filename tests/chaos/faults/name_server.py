"""A DNS server and a client of the system's resolver, each in a network namespace of its own. Standard library only.

    unshare --net python3 -I -S -B name_server.py serve           answers on every address that it gets, port 53
    unshare --net --mount python3 -I -S -B name_server.py ask CGROUP SERVER

The server knows `cart.shop.svc.cluster.local`, `db.shop.svc.cluster.local` and `api.example`; all else is NXDOMAIN.
The client reads a name per line and answers the address that the C library finds, or its error.
"""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

KNOWN = {b"cart.shop.svc.cluster.local": 1, b"db.shop.svc.cluster.local": 2, b"api.example": 3}
RESOLVER = "nameserver {}\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5 timeout:1 attempts:1\n"


def name_of(query: bytes) -> tuple[bytes, int]:
    """The first question's name, in small letters, and where it ends."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length])
        at += 1 + length
    return b".".join(labels).lower(), at + 1


def answer(query: bytes) -> bytes:
    """An address for a known name that A is asked of, nothing for AAAA, NXDOMAIN for any other (RFC 1035, 4.1)."""
    name, end = name_of(query)
    question = query[12 : end + 4]
    number = KNOWN.get(name)
    has_address = number is not None and query[end : end + 2] == b"\x00\x01"
    flags = b"\x84\x00" if number is not None else b"\x84\x03"
    head = query[:2] + flags + b"\x00\x01" + (b"\x00\x01" if has_address else b"\x00\x00") + b"\x00\x00\x00\x00"
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + bytes([10, 9, 9, number or 0])
    return head + question + (record if has_address else b"")


def serve() -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 53))
        print("serving", flush=True)  # noqa: T201 - the one who waits reads it
        while True:
            query, client = server.recvfrom(2048)
            server.sendto(answer(query), client)


def ask(cgroup: str, server: str) -> None:
    """Be in the cgroup, with that server alone, and resolve what is read."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(RESOLVER.format(server))
    Path(file.name).chmod(0o644)
    subprocess.run(["mount", "--bind", file.name, os.path.realpath("/etc/resolv.conf")], check=True)
    (Path(cgroup) / "cgroup.procs").write_text("0")
    print("asking", flush=True)  # noqa: T201
    for line in sys.stdin:
        try:
            found = str(socket.getaddrinfo(line.strip(), None, socket.AF_INET)[0][4][0])
        except OSError as error:
            found = type(error).__name__ if not isinstance(error, socket.gaierror) else f"EAI {error.errno}"
        print(found, flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ask(sys.argv[2], sys.argv[3])
