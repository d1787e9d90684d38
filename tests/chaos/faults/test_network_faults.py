"""Packet loss and refused connects on the running kernel: what is meant is hit, nothing else, and nothing is left."""

import hashlib
import json
from pathlib import Path

import pytest

from chaos.faults.fault import ConnectRefusal, InjectionError, PacketLoss
from chaos.faults.holder_client import hold
from tests.chaos.faults.conftest import Victim
from tests.chaos.faults.kernel_state import programs_at

pytestmark = pytest.mark.kernel

PORT, OTHER_PORT = 18099, 18098


def test_instructions_are_those_of_the_source(repository: Path) -> None:
    """The checked-in instructions were compiled from the source as it is (deploy/compile_faults.py)."""
    folder = repository / "chaos/faults"
    sources = ("network_rule.h", "network_fault.c", "delay_line.c")
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in sources)).hexdigest()
    assert json.loads((folder / "network_fault.json").read_text())["source_sha256"] == digest


def test_loss_at_the_receiver_hits_one_port_and_ends_with_its_release(victim: Victim) -> None:
    """Connects to that port time out, the other port answers; the counters say what was dropped."""
    assert victim.error() is None
    with hold(PacketLoss(victim.cgroup, local_ports=(PORT,)), 30) as held:
        assert victim.error() == "TimeoutError"
        assert victim.error(port=OTHER_PORT) is None
        released = held.release()
    assert victim.error() is None
    assert (released.by, released.counters["hit"] >= 1) == ("G2", True)
    assert programs_at(victim.process.pid, victim.cgroups) == {}


@pytest.mark.parametrize(
    ("network", "source", "other"),
    [("127.0.0.2", "127.0.0.2", "127.0.0.3"), ("127.5.0.0/16", "127.5.9.9", "127.6.0.1")],
)
def test_loss_hits_one_peer(victim: Victim, network: str, source: str, other: str) -> None:
    """Packets from a network are dropped, those from others are not; the server's socket is dual-stack."""
    with hold(PacketLoss(victim.cgroup, networks=(network,)), 30):
        assert victim.error(source=source) == "TimeoutError"
        assert victim.error(source=other) is None


def test_loss_of_ipv6(victim: Victim) -> None:
    """An IPv6 peer is hit, IPv4 is not, and the other way round."""
    with hold(PacketLoss(victim.cgroup, networks=("::1",)), 30):
        assert (victim.error("::1"), victim.error()) == ("TimeoutError", None)
    with hold(PacketLoss(victim.cgroup, networks=("127.0.0.0/8",)), 30):
        assert (victim.error("::1"), victim.error()) == (None, "TimeoutError")


def test_what_is_exempt_is_never_dropped(victim: Victim) -> None:
    """By address and by port, whatever else the rule says."""
    fault = PacketLoss(victim.cgroup, exempt_networks=("127.0.0.9",), exempt_ports=(OTHER_PORT,))
    with hold(fault, 30):
        assert victim.error() == "TimeoutError"
        assert victim.error(source="127.0.0.9") is None
        assert victim.error(port=OTHER_PORT) is None


def test_share_of_the_packets(victim: Victim) -> None:
    """Of many packets the share is dropped: 99.99 % interval of the binomial."""
    with hold(PacketLoss(victim.cgroup, percent=30, local_ports=(PORT,)), 60) as held:
        for _ in range(120):
            victim.connect(timeout=0.05)
        counters = held.release().counters
    seen, hit = counters["seen"], counters["hit"]
    assert seen >= 120
    assert abs(hit - 0.3 * seen) < 3.9 * (seen * 0.3 * 0.7) ** 0.5


@pytest.mark.parametrize(("errno", "error"), [(111, "ConnectionRefusedError"), (113, "OSError"), (110, "TimeoutError")])
def test_refusal_fails_connects_at_once(victim: Victim, errno: int, error: str) -> None:
    """Of the cgroup's own processes, to one port, with the errno; others connect."""
    with hold(ConnectRefusal(victim.cgroup, ports=(PORT,), errno=errno), 30) as held:
        answer = victim.connect(inside=True, timeout=5)
        assert (answer["error"], answer["seconds"] < 1) == (error, True)
        assert victim.error(inside=True, port=OTHER_PORT) is None
        assert victim.error() is None
        assert victim.error("::1", inside=True) == error
        assert held.release().counters == {"seen": 2, "hit": 2}
    assert victim.error(inside=True) is None


def test_partition_drops_both_ways(victim: Victim) -> None:
    """What the cgroup sends to the peer is dropped, too."""
    with hold(PacketLoss(victim.cgroup, remote_ports=(PORT,), partition=True), 30):
        assert victim.error(inside=True) is not None
        assert victim.error(inside=True, port=OTHER_PORT) is None


def test_two_faults_do_not_know_each_other(victim: Victim) -> None:
    """Links are multi: one ends, the other stays."""
    with hold(PacketLoss(victim.cgroup, local_ports=(PORT,)), 30) as first:
        with hold(PacketLoss(victim.cgroup, local_ports=(OTHER_PORT,)), 30):
            assert (victim.error(), victim.error(port=OTHER_PORT)) == ("TimeoutError", "TimeoutError")
        assert (victim.error(), victim.error(port=OTHER_PORT)) == ("TimeoutError", None)
        assert first.release().by == "G2"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (PacketLoss(Path("/nowhere")), "No such file"),
        (PacketLoss(Path("/tmp")), "packet-loss"),  # noqa: S108 - a folder that is no cgroup
        (PacketLoss(Path("/"), percent=0), "more than 0"),
        (PacketLoss(Path("/"), networks=("here",)), "an address or a network"),
        (PacketLoss(Path("/"), remote_ports=(0,)), "ports from 1"),
        (PacketLoss(Path("/"), networks=("1.1.1.1",) * 17), "at most 16"),
        (ConnectRefusal(Path("/"), errno=0), "1 to 4095"),
    ],
)
def test_what_cannot_be_injected_says_why(fault: PacketLoss | ConnectRefusal, expected: str) -> None:
    """One sentence; no holder stays."""
    children = Path("/proc/thread-self/children").read_text()
    with pytest.raises(InjectionError) as error:
        hold(fault, 5)
    assert expected in str(error.value)
    assert Path("/proc/thread-self/children").read_text() == children
