"""What connections carry, by the real program and iterator: to the byte against what the programs wrote and read."""

import fcntl
import os
import random
import socket
import struct
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.capture.window_capture import ObservedNode, observe
from node_agent.capture.window_volume import Handover
from podsonar.model import Capture, Volume, Window
from tests.node_agent.kernel_side import attached

pytestmark = pytest.mark.kernel
NODE = ObservedNode("node-a", Path("/proc"), 0.2)
SCHEDULES = int(os.environ.get("PODSONAR_VOLUME_SCHEDULES", "50"))


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


@pytest.mark.parametrize("method", ["raw_tracepoint", "tracepoint"])
def test_bytes_of_one_connection_are_those_written_and_read(method: str, tracefs: None) -> None:
    """However it ends, or not at all: its bytes at both ends, its time, one round-trip time, and whether by a reset."""
    ends = ("client", "server", "reset", "open")
    with ExitStack() as stack:
        servers = {how: stack.enter_context(listener()) for how in ends}
        ports = {how: server.getsockname()[1] for how, server in servers.items()}
        tracer = stack.enter_context(attached(method=method))

        def work() -> None:
            for how, server in servers.items():
                one = pair(server)
                one.send("server", 100_003)
                one.send("client", 777)
                if how == "open":
                    stack.callback(one.close, "client")
                else:
                    one.close(how)
                wait_until_acknowledged([one])

        capture = Windows().observe(tracer, work, None)
    assert capture.volume_by == "whole"
    for how, port in ports.items():
        volumes = of_port(capture, port)
        assert (how, carried(volumes, "client"), carried(volumes, "server")) == (how, (100_003, 777), (777, 100_003))
        for volume in volumes.values():
            assert sum(volume.rtt_histogram) == 1
            assert 0 < volume.open_ns < 60 * 10**9
            assert (how, volume.resets) == (how, how == "reset")
            assert volume.retransmitted_segments == 0


def test_without_volumes_nothing_is_counted_and_the_program_is_smaller() -> None:
    """`ended: 0` compiles the program without volumes: no tables, no figures."""
    with listener() as server, attached() as with_volumes:
        whole = with_volumes.capacity.kernel_bytes()
        with attached(ended=0) as tracer:
            assert tracer.capacity.kernel_bytes() < whole
            assert not {"flow_volumes", "accepted_volumes", "ended"} & set(tracer.descriptors)
            capture = Windows().observe(tracer, lambda: pair(server).close("client"), None)
    assert capture.volume_by is None
    assert {flow.volume for flow in capture.flows} == {None}


def test_windows_that_meet_add_up_for_pooled_and_short_connections() -> None:
    """50 random schedules over three windows: each window's bytes are what was written and read in it, at both ends."""
    chance = random.Random(16)  # noqa: S311 - the same schedules in every run
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        pools = [pair(server) for _ in range(SCHEDULES)]
        for one in pools:
            stack.callback(one.close, "client")
        for one in pools:
            one.send("server", chance.randrange(5000))
        tracers = [stack.enter_context(attached()) for _ in range(3)]
        for tracer in tracers:
            tracer.count_during(0, 0)  # attached ahead of its window
        windows = Windows()
        for tracer, following in zip(tracers, [*tracers[1:], None], strict=True):
            before = sum((one.sent for one in pools), Counter())
            short: Counter[str] = Counter()

            def work(short: Counter[str] = short) -> None:
                for number in range(SCHEDULES):
                    for _ in range(chance.randrange(6)):
                        pools[chance.randrange(len(pools))].send(chance.choice(("client", "server")), size(chance))
                    one = pair(server)
                    one.send("server", size(chance))
                    one.send("client", size(chance))
                    short.update(one.sent)
                    one.close(("client", "server", "reset")[number % 3])
                wait_until_acknowledged(pools)

            capture = windows.observe(tracer, work, following)
            moved = sum((one.sent for one in pools), Counter()) - before + short
            volumes = of_port(capture, port)
            assert carried(volumes, "client") == (moved["server"], moved["client"])
            assert carried(volumes, "server") == (moved["client"], moved["server"])
            assert volumes["client", True].open_ns > 0


def test_connections_that_end_while_the_agent_reads_what_is_open_are_measured_once() -> None:
    """Some end before the agent looks what is open at the window's end, some while it reads, some later."""
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        tracer = stack.enter_context(attached())
        tracer.count_during(0, 0)
        pairs: list[Pair] = []

        def work() -> None:
            for number in range(300):
                one = pair(server)
                stack.callback(one.close, "client")
                one.send("server", 1000 + number)
                one.send("client", 1)
                pairs.append(one)
            wait_until_acknowledged(pairs)

        def end(some: slice) -> None:
            for number, one in enumerate(pairs[some]):
                one.close(("client", "server", "reset")[number % 3])

        capture = Windows().observe(tracer, work, None, lambda: end(slice(0, 100)), lambda: end(slice(100, 200)))
    moved = sum((one.sent for one in pairs), Counter())
    volumes = of_port(capture, port)
    assert carried(volumes, "client") == (moved["server"], moved["client"])
    assert carried(volumes, "server") == (moved["client"], moved["server"])
    assert sum(volumes["client", False].rtt_histogram) == len(pairs)
    assert "open_unread" not in capture.volume_lost


def size(chance: random.Random) -> int:
    """Bytes of a send: mostly few, at times many."""
    return chance.choice((1, 13, 1447, 1448, 1449, 65_536, chance.randrange(1, 300_000)))
