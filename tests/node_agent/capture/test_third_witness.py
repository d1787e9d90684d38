"""The kernel's own counters beside the real program: equal, or the difference is what a blind program has missed."""

import mmap
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

import lab.simulated
from node_agent.capture.kernel_counters import Network as Namespace
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.capture.third_witness import NetworkReading, NodeReading, compare
from node_agent.capture.window_capture import UNSEEN, ObservedNode, observe
from node_agent.privileged.bpf_structs import NETWORK
from podsonar.model import Capture, Window, WitnessCounts
from tests.node_agent.capture.simulated_node import SimulatedNode
from tests.node_agent.kernel_side import attached

SIMULATED = Path(lab.simulated.__path__[0])
NODE = ObservedNode("node-a", Path("/proc"), 0.2)


@contextmanager
def window(tracer: AttachedProgram) -> Iterator[list[Capture]]:
    """A window that the block takes; its capture is in the list afterwards."""
    captures: list[Capture] = []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: captures.append(observe(tracer, Window(0, 1), NODE, stop, lambda _: None)))
    thread.start()
    while not tracer.control or not tracer.control.scan_done:
        threading.Event().wait(0.005)
    yield captures
    stop.set()
    thread.join()


TRAFFIC_PORT = 4242
TRAFFIC = """
import socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
import port_scans
SO_NETNS_COOKIE = 71
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with socket.socket() as any_socket:
    print(int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder), flush=True)
for line in sys.stdin:
    connects, refused, scanned = map(int, line.split())
    with socket.create_server(("127.0.0.1", 4242), backlog=128) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for _ in range(connects):
            with socket.create_connection(server.getsockname()):
                server.accept()[0].close()
        port_scans.half_open({"address": "127.0.0.1", "port": 4242, "count": scanned})
        for _ in range(refused):
            try:
                socket.create_connection(closed.getsockname())
            except ConnectionRefusedError:
                pass
    print("done", flush=True)
"""


class Traffic:
    """A process in a network namespace of its own that makes connections over loopback, some that are refused, and
    half-open ones.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.network = int(process.stdout.readline())
        self.inode = Path(f"/proc/{process.pid}/ns/net").stat().st_ino

    def wait_for(self, word: str) -> None:
        """Read the next line, which is that word."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def make(self, connects: int, refused: int, scanned: int = 0) -> None:
        """Make so many."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{connects} {refused} {scanned}\n")
        self.process.stdin.flush()
        self.wait_for("done")


@contextmanager
def traffic(*enter: str) -> Iterator[Traffic]:
    """Such a process, in a new namespace unless a command enters another one."""
    command = [*(enter or ("unshare", "--net")), sys.executable, "-c", TRAFFIC, str(SIMULATED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Traffic(process)
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def namespace_of_inode(inode: int) -> Iterator[int]:
    """The pid of a process in a new network namespace with that inode, which an ended one gives back after a moment.

    The lowest free number comes next, for whatever the kernel needs one: namespaces below are kept, others are not.
    """
    deadline = time.monotonic() + 60
    with ExitStack() as kept:
        while True:
            with ExitStack() as stack:
                command, pipe = ["unshare", "--net", "cat"], subprocess.PIPE
                process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("there\n")
                process.stdin.flush()
                assert process.stdout.readline() == "there\n"
                found = Path(f"/proc/{process.pid}/ns/net").stat().st_ino
                if found <= inode:
                    kept.enter_context(stack.pop_all())
            if found == inode:
                break
            assert time.monotonic() < deadline
        yield process.pid


@pytest.mark.kernel
def test_kernel_and_program_agree_while_connections_are_made() -> None:
    """Every namespace of the machine: what the kernel counted in the window is what the program counted."""
    with traffic() as made, attached() as tracer, window(tracer) as captures:
        made.make(1009, 101)
    (capture,) = captures
    assert capture.witness is not None
    assert capture.witness.kernel.opens >= 1110
    assert capture.witness.kernel.accepted >= 1009
    assert capture.witness.kernel.failures >= 101
    assert capture.witness.unseen == WitnessCounts()
    assert not any("unseen" in name for name in {**capture.lost, **capture.accepted_lost, **capture.outcomes_lost})


@pytest.mark.kernel
def test_half_open_connection_that_is_reset_is_no_loss() -> None:
    """What a port scan leaves in AttemptFails was no connect of the namespace and no connection that it accepted."""
    with traffic() as made, attached() as tracer:
        made.make(0, 0, 13)
        with window(tracer) as captures:
            made.make(101, 11, 1009)
    (capture,) = captures
    assert capture.witness is not None
    assert (capture.witness.unseen, capture.witness.program_only) == (WitnessCounts(), WitnessCounts())
    assert capture.outcomes_lost.get("outcome_unseen_by_program", 0) == 0


@pytest.mark.kernel
def test_namespace_that_takes_the_inode_of_an_ended_one_is_another() -> None:
    """The kernel gives an inode again as soon as its namespace has ended: here in the very window."""
    with ExitStack() as first, attached() as tracer:
        ended = first.enter_context(traffic())
        inode = ended.inode
        with window(tracer) as captures, ExitStack() as later:
            ended.make(5, 2)
            first.close()
            holder = later.enter_context(namespace_of_inode(inode))
            made = later.enter_context(traffic("nsenter", "--net", f"--target={holder}"))
            made.make(7, 1)
    assert made.inode == inode
    (capture,) = captures
    assert capture.witness is not None
    assert (capture.witness.unseen, capture.witness.program_only) == (WitnessCounts(), WitnessCounts())
    assert capture.witness.not_comparable["ended"] >= 1


@pytest.mark.kernel
@pytest.mark.parametrize("every", [1000, 7])
def test_program_that_misses_runs_is_exposed_with_the_right_numbers(every: int) -> None:
    """A hook that drops every so many runs, as no release has it: the window states exactly what it dropped."""
    with (
        traffic() as made,
        attached(blind=every, blindNetwork=made.network) as tracer,
        window(tracer) as captures,
        mmap.mmap(tracer.descriptors["blinded"], NETWORK.size) as blinded,
    ):
        made.make(2003, 211, 97)
        opens, _unsent, accepted, failed = NETWORK.unpack_from(blinded)
    (capture,) = captures
    assert opens + accepted + failed > 0
    lost = {**capture.lost, **capture.accepted_lost, **capture.outcomes_lost}
    assert [lost.get(name, 0) for name in UNSEEN] == [opens, accepted, failed]
    assert capture.witness is not None
    assert capture.witness.program_only == WitnessCounts()


@pytest.mark.kernel
@pytest.mark.parametrize("refused", [1, 2, 4])
def test_connection_whose_end_was_not_seen_has_no_volume_and_is_counted(refused: int) -> None:
    """Every seventh run is dropped: what a connection carried is measured, or lost by reason, never neither.

    After two refused connects these are the end of a connection and the attempt of the next one at its address; after
    four the establishment and the end of the same one.
    """
    with traffic() as made, attached(blind=7, blindNetwork=made.network) as tracer, window(tracer) as captures:
        made.make(0, refused)
        made.make(2003, 0)
    (capture,) = captures
    flows = [flow for flow in capture.flows if flow.port == TRAFFIC_PORT]
    accepted = [flow for flow in capture.accepted if flow.port == TRAFFIC_PORT]
    seen = sum(flow.attempts for flow in flows) + sum(flow.accepted for flow in accepted)
    measured = sum(sum(flow.volume.rtt_histogram) for flow in (*flows, *accepted) if flow.volume)
    unseen = capture.volume_lost["end_unseen"]
    assert unseen > 0
    assert 0 <= seen - measured - unseen <= capture.volume_lost.get("open_unread", 0)


def test_loss_is_stated_right_for_blindness_of_any_kind() -> None:
    """1,000 windows of 1 to 9 namespaces, some of them busy while they are read: the loss is never less, nor more."""
    chance = Random(7)  # noqa: S311 - the same windows in every run
    for _ in range(1000):
        node = SimulatedNode(chance, chance.randrange(1, 10))
        start = node.reading()
        for _ in range(chance.randrange(40)):
            node.event(chance.choice(["dropped", "seen", "seen", "reset"]))
        witness = compare(start, node.reading(start))
        assert (witness.unseen, witness.program_only) == (WitnessCounts(*node.dropped), WitnessCounts())
        assert sum(witness.pods.values()) == sum(node.dropped)


def test_processor_that_is_held_between_both_counts_is_no_loss() -> None:
    """1,000 windows at whose ends a connect stands between the program's count and the kernel's for up to 20 ms."""
    chance = Random(8)  # noqa: S311 - the same windows in every run
    for _ in range(1000):
        node = SimulatedNode(chance, chance.randrange(1, 4))
        for place in range(len(node.kernel)):
            node.program[place][0] += 1  # it has been in use
        node.hold(chance.randrange(3))
        start = node.reading()
        for _ in range(chance.randrange(9)):
            node.event(chance.choice(["dropped", "seen", "reset"]))
        node.hold(chance.randrange(3))
        witness = compare(start, node.reading(start))
        assert (witness.unseen, witness.program_only) == (WitnessCounts(*node.dropped), WitnessCounts())


def test_task_that_is_elsewhere_shows_no_other_namespaces_counters() -> None:
    """1,000 windows at whose start or end a task of each namespace may have entered another one since it was listed."""
    chance = Random(9)  # noqa: S311 - the same windows in every run
    compared = 0
    for _ in range(1000):
        node = SimulatedNode(chance, chance.randrange(2, 5))
        away = {10 * place: chance.randrange(len(node.kernel)) for place in range(chance.randrange(4))}
        at_start = chance.random() < 0.5
        node.away = away if at_start else {}
        start = node.reading()
        for _ in range(chance.randrange(9)):
            node.event("seen")
        node.away = {} if at_start else away
        witness = compare(start, node.reading(start))
        assert (witness.unseen, witness.program_only) == (WitnessCounts(), WitnessCounts())
        compared += witness.agreed
    assert compared > 1000


def test_namespaces_that_come_or_go_are_named() -> None:
    """What was there at one end of the window only is not comparable, and says which end."""
    reading = NetworkReading(WitnessCounts(9, 9, 9), WitnessCounts(), quiet=True, file=7)
    there = {place: Namespace([place], {name}) for place, name in ((1, "a"), (2, "b"), (3, "c"), (4, "d"))}
    start = NodeReading({place: there[place] for place in (1, 2)}, {1: reading, 2: reading})
    end = NodeReading({place: there[place] for place in (1, 3, 4)}, {1: reading, 3: reading}, {4})
    witness = compare(start, end)
    assert witness.not_comparable == {"appeared": 1, "ended": 1, "unreadable": 1}
    assert (witness.namespaces, witness.agreed) == (4, 1)
