"""Packets of one edge that arrive later, on the running kernel: a node with two pods on a bridge."""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from chaos.faults.bpf_link import FROM_POD, RuleMap, attach
from chaos.faults.delay_line import ENTRY_BYTES, MOST_BYTES, DelayQueue, reason_of, rehearse
from chaos.faults.fault import InjectionError, PacketDelay
from chaos.faults.network_rule import SEEN_AT, pack_rule
from tests.chaos.faults.kernel_state import network_namespace_of, programs_at
from tests.chaos.faults.simulated_node import (
    CLIENT,
    CLIENT6,
    NODE,
    OTHER_PORT,
    PORT,
    SERVER,
    SERVER6,
    Node,
    simulated_node,
)

DELAY = 200
HELD_SECONDS = 6.0  # until a holder's deadline: long enough to look at the node before
KILLS = int(os.environ.get("PODSONAR_FAULT_KILLS", "20"))


@pytest.fixture
def node() -> Iterator[Node]:
    """A node, with two pods that can reach each other."""
    with simulated_node() as made:
        yield made


def delay(node: Node, **given: Any) -> PacketDelay:
    """The delay of the edge to the server's port."""
    edge: dict[str, Any] = {"networks": (SERVER,), "remote_ports": (PORT,)}
    return PacketDelay(node.cgroup, **({"address": CLIENT, "milliseconds": DELAY} | edge | given))


def quietest(node: Node, enough: float, **where: Any) -> list[float]:
    """Milliseconds of ten handshakes: the first ten of five whose median is below `enough`, else those of the least."""
    tens: list[list[float]] = []
    while len(tens) < 5 and (not tens or median(tens[-1]) >= enough):
        tens.append([node.milliseconds(**where) for _ in range(10)])
    return min(tens, key=median)


@pytest.mark.kernel
def test_handshakes_of_one_edge_take_longer_by_the_delay(node: Node) -> None:
    """Each by 200 ms at least, ten by 200 ± 5 ms in the median; other ports and addresses of the pod as before.

    Of up to five tens the quietest counts: packets of all of them may wait for a processor of a busy machine.
    """
    before = quietest(node, 5)
    with node.hold(delay(node)) as held:
        during = quietest(node, DELAY + 5)
        others = quietest(node, 5, port=OTHER_PORT), quietest(node, 5, address=SERVER6)
        released = held.release()
    after = quietest(node, 5)
    assert min(during) >= DELAY
    assert median(during) - median(before) == pytest.approx(DELAY, abs=5)
    assert max(median(before), *map(median, others), median(after)) < 5
    assert (released.by, released.counters["dropped"]) == ("G2", 0)
    assert released.counters["lateSeconds"] > 0
    assert released.counters["seen"] >= released.counters["hit"] == released.counters["returned"] >= 10
    assert programs_at(node.node.pid, node.cgroups) == {}


@pytest.mark.kernel
def test_delay_of_ipv6_and_of_everything(node: Node) -> None:
    """An IPv6 peer is meant by its address, both families without one; found by either of the pod's addresses."""
    with node.hold(delay(node, networks=(SERVER6,), address=CLIENT6, milliseconds=60)):
        assert (node.milliseconds(SERVER6) >= 60, node.is_prompt()) == (True, True)
    with node.hold(delay(node, networks=(), remote_ports=(), milliseconds=60)):
        assert min(node.milliseconds(SERVER6), node.milliseconds(), node.milliseconds(port=OTHER_PORT)) >= 60


@pytest.mark.kernel
def test_jitter_spreads_the_delay(node: Node) -> None:
    """Some are shorter and some longer than the delay, none is shorter by more than the jitter."""
    with node.hold(delay(node, milliseconds=100, jitter=80)):
        found = [node.milliseconds() for _ in range(20)]
    assert (20 <= min(found) < 85, max(found) > 115) == (True, True), found


@pytest.mark.kernel
def test_data_arrives_whole_while_it_is_held_and_when_it_is_released(node: Node) -> None:
    """Megabytes there and back, segmented by the kernel, through the line; and while the line is taken away."""
    with node.hold(delay(node, milliseconds=20)) as held:
        assert node.connect(send=4 << 20, timeout=30)["same"]
        release = threading.Timer(0.1, held.release)
        release.start()
        assert node.connect(send=4 << 20, timeout=30)["same"]
        release.join()
    assert held.release().counters["returned"] > 2000


@pytest.mark.kernel
def test_packets_of_another_cgroup_pass(node: Node) -> None:
    """The pod's interface is not enough: packets of sockets that are not in its cgroup are seen, and pass at once."""
    other = node.cgroup / "other"
    other.mkdir()
    with node.hold(PacketDelay(other, CLIENT, DELAY)) as held:
        assert node.is_prompt()
        counters = held.release().counters
    assert (counters["hit"], counters["seen"] > 0) == (0, True)


@pytest.mark.kernel
def test_programs_of_others_at_the_interface_stay(node: Node) -> None:
    """Whoever watches the pod's interface sees what comes back as before, and is there afterwards."""
    with network_namespace_of(node.node.pid):
        interface = socket.if_nametoindex("client")
    counting = RuleMap(pack_rule({"egress": True}, time.monotonic_ns() + 60 * 10**9) + bytes(16))  # of no cgroup
    with network_namespace_of(node.node.pid):
        link = attach(FROM_POD, interface, counting)
    try:
        node.milliseconds()
        seen = counting.counter(SEEN_AT)
        with node.hold(delay(node)):
            assert node.milliseconds() >= DELAY
        during = counting.counter(SEEN_AT)
        assert node.is_prompt()
        assert 0 < seen < during < counting.counter(SEEN_AT)
    finally:
        os.close(link)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_or_hanging_holder_ends_it(node: Node, number: signal.Signals) -> None:
    """Killed: at once, by the kernel; stopped: by the deadline in the program. Nothing is different from before."""
    before = node.state()
    held = node.hold(delay(node), HELD_SECONDS)
    try:
        assert node.milliseconds() >= DELAY
        during = node.state()
        assert during[0].interfaces != before[0].interfaces
        assert during[1].interfaces == before[1].interfaces
        os.kill(held.process.pid, number)
        begun = time.monotonic()
        if number is signal.SIGKILL:
            held.process.wait()
            assert node.is_prompt()
        else:
            while node.connect(timeout=0.3)["error"] is not None:
                assert time.monotonic() - begun < HELD_SECONDS + 2
    finally:
        held.process.kill()
        held.release()
    assert node.state() == before


@pytest.mark.kernel
@pytest.mark.long
def test_random_kills_leave_nothing(node: Node) -> None:
    """Holders are killed at random moments of their lives; no program, no interface, no delay stays."""
    chance, before = random.Random(1), node.state()  # noqa: S311 - a schedule
    order = json.dumps(delay(node).to_order() | {"seconds": 30}).encode() + b"\n"
    holder = [sys.executable, "-I", "-S", "-B", "chaos/faults/holder.py"]
    for _ in range(KILLS):
        with network_namespace_of(node.node.pid):
            process = subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        process.stdin.write(order)
        process.stdin.flush()
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.wait()
        process.stdin.close()
    assert node.state() == before
    assert node.is_prompt()


@pytest.mark.kernel
def test_two_capabilities_make_it_and_none_holds_it(node: Node) -> None:
    """BPF and NET_ADMIN are enough to make a line; the holder has given up both."""
    few = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+bpf,+net_admin"]
    code = (
        "import json, sys; sys.path.insert(0, '.'); from chaos.faults.delay_line import rehearse; "
        "rehearse(json.loads(sys.argv[1]))"
    )
    words = [*few, sys.executable, "-I", "-S", "-B", "-c", code, json.dumps(delay(node).to_order())]
    before = node.state()
    with network_namespace_of(node.node.pid):
        subprocess.run(words, check=True)
    assert node.state() == before
    with node.hold(delay(node)) as held:
        status = Path(f"/proc/{held.process.pid}/status").read_text()
        assert all(f"{name}:\t{0:016x}\n" in status for name in ("CapEff", "CapPrm", "CapBnd")), status


@pytest.mark.kernel
def test_second_delay_of_a_pod_is_refused(node: Node) -> None:
    """It would delay what the first gives back; another pod's is none of it."""
    with node.hold(delay(node)):
        with pytest.raises(InjectionError, match="another delay of this pod is in"):
            node.hold(delay(node))
        with node.hold(delay(node, address=SERVER)):
            assert node.milliseconds() >= DELAY


@pytest.mark.kernel
@pytest.mark.parametrize("address", [NODE, "10.77.1.99", "fd77::99"])
def test_pod_that_no_pair_of_interfaces_leads_to_is_refused(node: Node, address: str) -> None:
    """The node's own address is no pod's: a pod with the host's network."""
    with pytest.raises(InjectionError, match=f"0 interfaces of this node lead to pod address {address}"):
        node.hold(delay(node, address=address))


@pytest.mark.kernel
def test_rehearsal_says_what_is_missing(node: Node) -> None:
    """Of a cgroup that is not there; and it leaves nothing."""
    before, order = node.state(), delay(node).to_order()
    with network_namespace_of(node.node.pid), pytest.raises(FileNotFoundError, match="nowhere"):
        rehearse(order | {"cgroup": "/nowhere"})
    assert node.state() == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"milliseconds": 0}, "milliseconds is 0: expected 1 to 10000"),
        ({"milliseconds": 10_001}, "milliseconds is 10001"),
        ({"jitter": 201}, "jitter is 201: expected 0 to the delay of 200 ms"),
        ({"address": "cart"}, "address is 'cart'"),
        ({"networks": ("here",)}, "an address or a network"),
        ({"remote_ports": (0,)}, "ports from 1"),
    ],
)
def test_wrong_delay_says_why(given: dict[str, Any], expected: str) -> None:
    """One sentence."""
    with pytest.raises(InjectionError, match=expected):
        PacketDelay(Path("/"), **({"address": CLIENT, "milliseconds": DELAY} | given)).to_order()


def test_frames_leave_at_their_time() -> None:
    """Each after the delay, in order without jitter; a full line drops, and says how many."""
    line = DelayQueue(0.2, 0)
    assert line.seconds_until_next(10) == 1
    line.put(b"first", 10)
    line.put(b"second", 10.05)
    assert line.seconds_until_next(10.1) == pytest.approx(0.1)
    assert line.pop_due(10.19) is None
    assert [line.pop_due(10.21), line.pop_due(10.21), line.pop_due(10.26)] == [b"first", None, b"second"]
    assert line.late_seconds == pytest.approx(0.02)
    for _ in range(3):
        line.put(bytes(MOST_BYTES // 2 - ENTRY_BYTES), 11)
    assert (line.dropped, line.taken, line.held_bytes) == (1, 4, MOST_BYTES)
    assert [bool(line.pop_any()) for _ in range(3)] == [True, True, False]
    assert (line.held_bytes, line.late_seconds) == (0, pytest.approx(0.02))


def test_jitter_lets_a_later_frame_overtake() -> None:
    """By at most the jitter to either side."""
    chances = iter([1.0, 0.0])
    line = DelayQueue(0.2, 0.1, lambda: next(chances))
    line.put(b"first", 10)
    line.put(b"second", 10)
    assert [line.pop_due(10.11), line.pop_due(10.29), line.pop_due(10.31)] == [b"second", None, b"first"]


def test_old_kernel_is_named() -> None:
    """A kernel before 6.6 has no such links; on a newer one the kernel's own words stay."""
    refused = OSError(errno.EINVAL, "Invalid argument")
    assert reason_of(refused, "5.15.0-91-generic") == (
        "kernel 5.15.0-91-generic has no links of programs to interfaces (TCX), expected at least 6.6"
    )
    assert reason_of(refused, "6.6.1") == "Invalid argument"
    assert reason_of(OSError(errno.EPERM, "Operation not permitted"), "5.15") == "Operation not permitted"
