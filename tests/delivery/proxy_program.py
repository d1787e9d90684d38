"""A small real proxy: `CONNECT host:port`, `METHOD http://host:port/…`; prints its port, then each request.

python -u -m tests.delivery.proxy_program
"""

import select
import socket
import sys
import threading
from urllib.parse import urlsplit

IDLE_SECONDS = 20


def tunnel(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    ends = {one: other, other: one}
    while True:
        readable, _, _ = select.select(list(ends), [], [], IDLE_SECONDS)
        for side in readable or ends:
            piece = side.recv(65536) if readable else b""
            if not piece:
                return
            ends[side].sendall(piece)


def serve(client: socket.socket) -> None:
    """Serve one connection; print the target before connecting to it."""
    with client:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        place = target if method == "CONNECT" else urlsplit(target).netloc
        sys.stdout.write(f"{method} {place}\n")
        sys.stdout.flush()
        host, _, port = place.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head)
            tunnel(client, server)


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
