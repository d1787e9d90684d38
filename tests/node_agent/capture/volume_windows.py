"""Connections whose programs count what they write and read, and windows that meet, observed by the real program."""

import fcntl
import random
import socket
import struct
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.capture.window_capture import ObservedNode, observe
from node_agent.capture.window_volume import Handover
from podsonar.model import Capture, Volume, Window

NODE = ObservedNode("node-a", Path("/proc"), 0.2)


@dataclass
class Pair:
    """Both ends of one connection, and what each wrote and read."""

    client: socket.socket
    server: socket.socket
    sent: Counter[str] = field(default_factory=Counter)

    def send(self, to: str, count: int) -> None:
        """Write `count` bytes at one end and read them all at the other."""
        writer, reader = (self.client, self.server) if to == "server" else (self.server, self.client)
        writer.sendall(bytes(count))
        left = count
        while left:
            left -= len(reader.recv(min(left, 1 << 16)))
        self.sent[to] += count

    def close(self, how: str) -> None:
        """End it: by FINs of both ends, the client's first or the server's, or by a reset."""
        first, last = (self.server, self.client) if how == "server" else (self.client, self.server)
        if how == "reset":
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        last.close()


@contextmanager
def listener(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A listening socket."""
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen(128)
        yield server


def pair(server: socket.socket) -> Pair:
    """A new connection."""
    client = socket.create_connection(server.getsockname()[:2])
    return Pair(client, server.accept()[0])


def wait_until_acknowledged(pairs: Sequence[Pair]) -> None:
    """Return when nothing of the open connections is under way (SIOCOUTQ is 0), which the next reading would miss."""
    for one in pairs:
        for end in (one.client, one.server):
            while end.fileno() >= 0 and struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, bytes(4)))[0]:
                time.sleep(0.001)


class Windows:
    """Windows that meet, each observed by a program of its own, as the agent does."""

    def __init__(self) -> None:
        self.handover = Handover()
        self.boundary_ns = 0

    def observe(
        self,
        tracer: AttachedProgram,
        work: Callable[[], None],
        following: AttachedProgram | None,
        before_reading: Callable[[], None] = lambda: None,
        while_reading: Callable[[], None] = lambda: None,
    ) -> Capture:
        """Return the capture of a window in which `work` is done; the following one begins where it ends.

        When it is over, `before_reading` is done, and `while_reading` while the agent reads what is open.
        """
        start_ns = self.boundary_ns or time.monotonic_ns()
        tracer.count_during(start_ns, start_ns + 10**12)
        stop = threading.Event()
        captures: list[Capture] = []

        def run() -> None:
            captures.append(observe(tracer, Window(0, 1), NODE, stop, lambda _counts: None, handover=self.handover))

        thread = threading.Thread(target=run)
        thread.start()
        while not tracer.control or not tracer.control.scan_done:
            time.sleep(0.005)
        work()
        self.boundary_ns = time.monotonic_ns()
        tracer.until_ns = self.boundary_ns
        if tracer.control:
            tracer.control.lasting_ns = self.boundary_ns - start_ns
        if following:
            following.count_during(self.boundary_ns, self.boundary_ns + 10**12)
        before_reading()
        stop.set()
        while_reading()
        thread.join()
        return captures[0]


def of_port(capture: Capture, port: int) -> dict[tuple[str, bool], Volume]:
    """The volumes of a port's flows, by end and age."""
    found: dict[tuple[str, bool], Volume] = {}
    for end, flows in (("client", capture.flows), ("server", capture.accepted)):
        for flow in flows:
            if flow.port == port:
                assert flow.volume is not None
                before = found.get((end, flow.opened_before))
                found[end, flow.opened_before] = before.plus(flow.volume) if before else flow.volume
    return found


def carried(volumes: dict[tuple[str, bool], Volume], end: str) -> tuple[int, int]:
    """Bytes sent and received at one end, of connections of any age."""
    of_end = [volume for (which, _before), volume in volumes.items() if which == end]
    return sum(one.sent_bytes for one in of_end), sum(one.received_bytes for one in of_end)


class Churn:
    """Connections of random length, each of which carries 1,000 bytes just before it ends, until it is stopped."""

    def __init__(self, server: socket.socket, seed: int) -> None:
        self.server, self.chance = server, random.Random(seed)  # noqa: S311 - the same in every run
        self.made, self.stop = 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Make and end them, some hundred per second."""
        alive: list[Pair] = []
        while alive or not self.stop.is_set():
            if len(alive) < 12 and not self.stop.is_set():
                alive.append(pair(self.server))
                self.made += 1
            if self.stop.is_set() or self.chance.random() < 0.7:
                one = alive.pop(self.chance.randrange(len(alive)))
                one.send("server", 1000)
                one.close(self.chance.choice(("client", "server", "reset")))
            time.sleep(self.chance.random() * 0.004)
