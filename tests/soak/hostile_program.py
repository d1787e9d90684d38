"""Everything hostile at once against a manager on the loopback, until SIGTERM.

Arguments: host:port, the token of a hostile agent. Each attack is a loop of its own with a bounded number of
connections, from an address of its own; what the manager answers does not matter here. Prints how often each loop came
round.
"""

import contextlib
import gzip
import json
import random
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import orjson

from tests.manager.shop import NODE_A, WINDOW, connection, inventory, node, observed, pod, service

MIB = 1 << 20
ODD = (None, True, -1, 2**63, 1e308, "", "\0", "x" * 5000, [], {}, [[]], {"a": {"b": [None]}}, "0001-01-01T00:00:00Z")
STALLED, IDLE = 64, 300


class Attack:
    """The target, and how a connection is made."""

    def __init__(self, target: str, token: str) -> None:
        host, _, port = target.partition(":")
        self.target, self.token, self.stop = (host, int(port)), token, threading.Event()
        self.rounds: Counter[str] = Counter()

    def connect(self, address: str) -> socket.socket:
        """A connection from an address of the loopback."""
        sock = socket.socket()
        sock.settimeout(30)
        sock.bind((address, 0))
        sock.connect(self.target)
        return sock

    def head(self, length: str, *, token: str | None = None, encoding: str = "identity") -> bytes:
        """The head of a push."""
        lines = ("POST /api/v1/collections HTTP/1.1", "Host: m", "Content-Type: application/json", length)
        named = (f"Idempotency-Key: h-{secrets.token_hex(8)}", f"Authorization: Token {token or self.token}")
        return "\r\n".join((*lines, *named, f"Content-Encoding: {encoding}", "", "")).encode()

    def push(self, address: str, body: bytes, encoding: str = "identity") -> None:
        """One push, answered or not."""
        with self.connect(address) as sock:
            sock.sendall(self.head(f"Content-Length: {len(body)}", encoding=encoding) + body)
            sock.recv(4096)

    def stalled_uploads(self) -> None:
        """Many bodies that never come, held for a while."""
        with contextlib.ExitStack() as stack:
            for _ in range(STALLED):
                stack.enter_context(self.connect("127.9.0.1")).sendall(self.head("Content-Length: 5000000"))
            self.stop.wait(10)

    def bombs(self) -> None:
        """Small bodies that become large."""
        base = orjson.dumps(NODE_A)[:-1]
        room = 31 * MIB
        bombs = (
            base + b',"x":[' + b",".join([b"[]"] * (room // 3)) + b"]}",
            b"{" + b",".join(b'"%d":1' % number for number in range(1_500_000)) + b"}",
            b" " * room + base + b"}",
        )
        self.push("127.9.0.2", gzip.compress(random.choice(bombs), 1), "gzip")  # noqa: S311 - no secret
        self.push("127.9.0.2", gzip.compress(b"") * (4 * MIB // 20), "gzip")
        self.push("127.9.0.2", gzip.compress(b"\0" * (64 * MIB), 9), "gzip")

    def unauthenticated_chunks(self) -> None:
        """Chunks that go on after the 401."""
        with self.connect("127.9.0.3") as sock:
            sock.sendall(self.head("Transfer-Encoding: chunked", token="nobody"))
            for _ in range(4000):
                sock.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    def idle_connections(self) -> None:
        """Connections that do nothing, and heads that never end."""
        with contextlib.ExitStack() as stack:
            for number in range(IDLE):
                sock = stack.enter_context(self.connect("127.9.0.4"))
                if number % 2:
                    sock.sendall(b"GET / HTTP/1.1\r\nX-A: ")
            self.stop.wait(12)

    def odd_objects(self) -> None:
        """Inventories and connections of which one member is odd."""
        kinds = (("podList", pod("p", "10.1.1.9", "n", "x")), ("nodeList", node("n", "192.0.2.9", "10.1.9.0/24")))
        kinds += (("serviceList", service("s", 80, 80, "x", "10.96.0.9")),)
        name, item = random.choice(kinds)  # noqa: S311 - no secret
        inner = item
        while True:
            key = random.choice(list(inner))  # noqa: S311 - no secret
            if not isinstance(inner[key], dict) or not inner[key] or random.random() < 0.3:  # noqa: S311 - no secret
                inner[key] = random.choice(ODD)  # noqa: S311 - no secret
                break
            inner = inner[key]
        body = inventory({name: [item]}, id=secrets.token_hex(8), sequence=1)
        with contextlib.suppress(TypeError):
            self.push("127.9.0.5", orjson.dumps(body))

    def scanning_pod(self) -> None:
        """The window of a node on which one pod made tens of thousands of destinations."""
        flows = [
            connection("scan", "10.1.1.66", f"10.9.{number >> 8 & 255}.{number & 255}", number % 60000 + 1, n=1)
            for number in range(50_000)
        ]
        packed = gzip.compress(orjson.dumps(observed("node-x", flows, []) | {"window": WINDOW}), 1)
        while not self.stop.is_set():
            with contextlib.suppress(OSError):
                self.push("127.9.0.6", packed, "gzip")
            self.rounds["scanning_pod"] += 1
            self.stop.wait(2)

    def loop(self, attack: Callable[[], None]) -> None:
        """Run an attack again and again."""
        while not self.stop.is_set():
            try:
                attack()
            except OSError:
                time.sleep(0.05)
            self.rounds[attack.__name__] += 1


def main() -> None:
    """All attacks until SIGTERM."""
    made = Attack(sys.argv[1], sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: made.stop.set())
    attacks = (made.stalled_uploads, made.bombs, made.unauthenticated_chunks, made.idle_connections, made.odd_objects)
    for attack in (*attacks, made.scanning_pod):
        threading.Thread(target=made.loop, args=(attack,), daemon=True).start()
    while not made.stop.wait(0.2):
        pass
    sys.stdout.write(json.dumps(made.rounds) + "\n")


if __name__ == "__main__":
    main()
