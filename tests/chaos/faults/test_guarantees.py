"""Every fault on every rung of the ladder: whatever happens to its holder, it is over within its bound.

The table of docs/fault-guarantees.md is made of these runs: `GOLDEN=write` writes what was seen.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chaos.faults.fault import ConnectRefusal, CpuStress, DnsFailure, Fault, MemoryStress, PacketDelay, PacketLoss
from chaos.faults.holder_client import Held, hold
from lab.simulated.cgroups import make
from tests.chaos.faults.conftest import Victim
from tests.chaos.faults.kernel_state import kernel_state, network_namespace_of
from tests.chaos.faults.simulated_node import CLIENT, PORT, SERVER, Node, simulated_node

pytestmark = [pytest.mark.kernel, pytest.mark.long]

NAME = "cart.shop.svc.cluster.local"
DELAY, DELAY_MS = "packet delay", 200
SECONDS = 3.0
KILLS = int(os.environ.get("PODSONAR_FAULT_KILLS", "20"))
DOCUMENT = Path("docs/fault-guarantees.md")
BEGIN, END = "<!-- table -->", "<!-- end -->"

IN_CGROUPS: dict[str, Callable[[Victim], Fault]] = {
    "packet loss": lambda victim: PacketLoss(victim.cgroup, local_ports=(PORT,)),
    "connect refusal": lambda victim: ConnectRefusal(victim.cgroup, ports=(PORT,)),
    "DNS failure": lambda victim: DnsFailure(victim.cgroup, (NAME,)),
    "cpu stress": lambda victim: CpuStress(1, 100, (victim.cgroup,)),
    "memory stress": lambda victim: MemoryStress(1, 1 << 20, (victim.cgroup,)),
}
FAULTS = (*IN_CGROUPS, DELAY)  # a delay's victim is a pod of a node


@pytest.fixture
def target(request: pytest.FixtureRequest, name: str) -> Iterator[Victim | Node]:
    """Whom a fault hits."""
    if name == DELAY:
        with simulated_node() as node:
            yield node
    else:
        yield request.getfixturevalue("victim")


def fault_of(name: str, victim: Victim | Node) -> Fault:
    """The fault of that name on its victim."""
    if isinstance(victim, Node):
        return PacketDelay(victim.cgroup, CLIENT, DELAY_MS, networks=(SERVER,), remote_ports=(PORT,))
    return IN_CGROUPS[name](victim)


def is_in(name: str, victim: Victim | Node, before: set[int]) -> bool:
    """Whether the effect is there now."""
    if isinstance(victim, Node):
        found = victim.connect(timeout=0.4)
        return found["error"] is not None or found["seconds"] * 1000 >= DELAY_MS
    if name == "packet loss":
        return victim.error(timeout=0.2) is not None
    if name == "connect refusal":
        return victim.error(inside=True) is not None
    if name == "DNS failure":
        return victim.error(inside=True, ask=NAME, timeout=0.2) is not None
    return victim.members() != before


def by_time(_held: Held, _victim: Victim | Node) -> None:
    """G1: wait."""


def by_request(held: Held, _victim: Victim | Node) -> None:
    """G2: release."""
    held.send(b"release\n")


def by_silence(_held: Held, _victim: Victim | Node) -> None:
    """G3: nobody beats any more, and the pipe stays open."""


def by_end_of_the_parent(held: Held, _victim: Victim | Node) -> None:
    """G3: the one who ordered it is gone."""
    assert held.process.stdin is not None
    held.process.stdin.close()


def by_kill(held: Held, _victim: Victim | Node) -> None:
    """G4: SIGKILL of the holder, as by OOM or the runtime."""
    held.process.kill()


def by_stop(held: Held, _victim: Victim | Node) -> None:
    """G5: the holder hangs."""
    held.process.send_signal(signal.SIGSTOP)


def by_service_manager(held: Held, victim: Victim | Node) -> None:
    """G6: all that belongs to the agent's unit hangs, and whoever stops the unit kills the processes of its cgroup.

    The unit holds what the agent starts, but for the stress processes, which are in the target's cgroup.
    """
    unit = make(victim.cgroup, "unit")
    pids = [held.process.pid]
    for task in Path(f"/proc/{held.process.pid}/task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    for pid in pids:
        (unit / "cgroup.procs").write_text(str(pid))
        os.kill(pid, signal.SIGSTOP)
    (unit / "cgroup.kill").write_text("1")


# Rung, what happens, how long the fault was ordered for, and within which seconds after that it is over.
RUNGS: list[tuple[str, str, Callable[[Held, Victim | Node], None], float, float]] = [
    ("G1", "its time is over", by_time, SECONDS, SECONDS + 1),
    ("G2", "it is asked to end", by_request, 60, 2),
    ("G3", "nobody wants it any more: no beat for 5 s", by_silence, 60, 6.5),
    ("G3", "the program that ordered it ends", by_end_of_the_parent, 60, 2),
    ("G4", "SIGKILL of its holder", by_kill, 60, 1),
    ("G5", "SIGSTOP of its holder", by_stop, SECONDS, SECONDS + 2),
    ("G6", "all processes of the agent's unit hang, and its cgroup is killed", by_service_manager, 60, 1),
]
MATRIX = [(name, *rung) for name in FAULTS for rung in RUNGS]


class Seen(NamedTuple):
    """Seconds until the fault was over, and what was different from before, by name."""

    seconds: float
    left: tuple[str, ...]


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[tuple[str, str], Seen]]:
    """How each ended, by fault and what happened; written at the end if that is asked for."""
    found: dict[tuple[str, str], Seen] = {}
    yield found
    if os.environ.get("GOLDEN") == "write" and len(found) == len(MATRIX):
        head, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(head + BEGIN + "\n" + table(found) + END + rest.partition(END)[2])


def table(found: dict[tuple[str, str], Seen]) -> str:
    """The rows of the document."""
    rows = []
    for name, rung, event, _end, _seconds, bound in MATRIX:
        one = found[name, event]
        rows.append(f"| {name} | {rung} | {event} | {bound:g} s | {one.seconds:.2f} s | {len(one.left)} |")
    head = "| fault | rung | what happens | over within | seen | left behind |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


@pytest.mark.parametrize(("name", "rung", "event", "end", "seconds", "bound"), MATRIX)
def test_fault_is_over_within_its_bound(
    target: Victim | Node,
    seen: dict[tuple[str, str], Seen],
    name: str,
    rung: str,
    event: str,
    end: Callable[[Held, Victim | Node], None],
    seconds: float,
    bound: float,
) -> None:
    """The effect is there, then the event, then it is gone; nothing in the kernel is different from before."""
    pid = target.process.pid
    before = kernel_state(pid, target.cgroups)
    members = target.members()
    with network_namespace_of(pid):
        held = hold(fault_of(name, target), seconds)
    try:
        assert is_in(name, target, members)
        assert kernel_state(pid, target.cgroups) != before
        end(held, target)
        begun = time.monotonic()
        while is_in(name, target, members):
            assert time.monotonic() - begun < bound + 20, f"{rung} {event}"
            time.sleep(0.02)
        took = time.monotonic() - begun
        assert took < bound, f"{name}: {event}"
    finally:
        held.process.send_signal(signal.SIGCONT)
        held.process.kill()
        held.release()
    after = kernel_state(pid, target.cgroups)
    assert after == before
    left = tuple(what for what in before._fields if getattr(before, what) != getattr(after, what))
    seen[name, event] = Seen(took, left)


def test_document_has_every_cell() -> None:
    """The table has a row per fault and event with the bounds that are tested here."""
    text = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:5]) for line in text.splitlines()[3:]]
    assert rows == [(name, rung, event, f"{bound:g} s") for name, rung, event, _end, _seconds, bound in MATRIX]


def test_random_kills_leave_nothing(victim: Victim) -> None:
    """Holders are killed at random moments of their lives; no process, no program, no effect stays."""
    chance = random.Random(1)  # noqa: S311 - a schedule
    members = victim.members()
    before = kernel_state(victim.process.pid, victim.cgroups)
    holder = [sys.executable, "-I", "-S", "-B", "chaos/faults/holder.py"]
    for _ in range(KILLS):
        order = IN_CGROUPS[chance.choice(list(IN_CGROUPS))](victim).to_order() | {"seconds": 30}
        process = subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.wait()
        process.stdin.close()
    end = time.monotonic() + 5
    while victim.members() != members and time.monotonic() < end:
        time.sleep(0.02)
    assert kernel_state(victim.process.pid, victim.cgroups) == before
    assert (victim.error(), victim.error(inside=True), victim.error(inside=True, ask=NAME)) == (None, None, None)
