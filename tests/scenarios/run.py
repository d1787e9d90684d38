"""Runs scenarios on the real kernel: one window for all that share it, observed by two agents, one per node."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from directory.addresses import Ranges
from directory.configured_ranges import ConfiguredRanges
from directory.lookup import Directory
from lab.simulated.network import LabError
from lab.simulated.two_nodes import CLOSED, NODES, TwoNodes
from node_agent.capture.files import capture_file
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, Counts
from node_agent.capture.window_capture import ObservedNode, observe
from podsonar.model import Capture, Window
from podsonar.timestamp import NS_PER_SECOND
from tests.node_agent.kernel_side import attached
from tests.scenarios import objects
from tests.scenarios.kernel_counts import pod_failures, tcp_counts, unshown_failures, wait_for_handshakes
from tests.scenarios.records import own_part
from tests.scenarios.simulated_cluster import OUTSIDE_PORT, SETTLED_NS, Cast, Drains, WallClock
from tests.scenarios.table import Scenario

PARALLEL = 6
LONGEST_NS = 600 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the scenarios of one window need of their agents: map sizes, seconds between drains."""

    capacity: dict[str, int | str] = field(default_factory=dict)
    drain_seconds: float = 0.5


CONDITIONS = {
    "shared": Conditions(),
    "two": Conditions(),
    "clock": Conditions(),
    "v2": Conditions({"unified": 1}),
    "pools": Conditions(),
    "procfs": Conditions({"socketIterators": 0}),
    "small": Conditions({"flows": 4096}, drain_seconds=600),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """The observations of one scenario: its cast and, for each window, the capture of every node's agent.

    `opens` is the number of connects of the whole machine meanwhile, by the kernel's own count.
    """

    cast: Cast
    captures: list[dict[str, Capture]]
    seconds: float
    opens: int
    failures: list[int]

    @property
    def skipped(self) -> int:
        """The number of program runs that the kernel skipped: outcomes and accepted connections that nothing counts."""
        return sum(capture.missed_runs for captures in self.captures for capture in captures.values())

    @property
    def unshown(self) -> int:
        """How many attempts are unfinished in a capture though they failed by the kernel's own count."""
        return sum(
            unshown_failures(own_part(self.cast, capture), failures)
            for captures, failures in zip(self.captures, self.failures, strict=True)
            for capture in captures.values()
        )

    @property
    def outcomes_lost(self) -> Counter[str]:
        """Outcomes for which a table had no room, by reason."""
        lost = [Counter(capture.outcomes_lost) for captures in self.captures for capture in captures.values()]
        return sum(lost, Counter())


class WindowAgent:
    """One node's agent in one window: the real stages from the attached program to the capture."""

    def __init__(
        self, letter: str, tracer: AttachedProgram, conditions: Conditions, clock: WallClock, drains: Drains
    ) -> None:
        self.letter = letter
        self.drains = drains
        self.node = ObservedNode(NODES[letter].name, Path("/proc"), conditions.drain_seconds)
        self.tracer = tracer
        self.stop = threading.Event()
        self.capture: Capture | None = None
        self.clock = clock
        self.start_ns = clock.now_ns()
        self.started_ns = time.monotonic_ns()
        tracer.count_during(self.started_ns, self.started_ns + LONGEST_NS)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Observe until the window is halted."""
        window = Window(self.start_ns, self.start_ns + LONGEST_NS)
        self.capture = observe(self.tracer, window, self.node, self.stop, self.drained, self.clock.now_ns)

    def drained(self, _counts: Counts) -> None:
        """A drain is counted."""
        self.drains.add(self.letter)

    def halt(self) -> None:
        """End the window."""
        self.stop.set()
        self.thread.join()

    def ended(self) -> Capture:
        """End the window and return its capture."""
        self.halt()
        if self.capture is None:
            raise RuntimeError(f"the agent of {self.node.name} ended without a capture")
        took_ns = time.monotonic_ns() - self.started_ns
        capture = replace(self.capture, window=Window(self.start_ns, self.start_ns + took_ns))
        return capture_file.decode(capture_file.encode(capture), self.node.name)  # as it waits for the directory


@contextmanager
def agents(conditions: Conditions, clock: WallClock, drains: Drains) -> Iterator[dict[str, WindowAgent]]:
    """An agent per node; all have attached when the block begins."""
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            entered = {letter: attached(**conditions.capacity) for letter in NODES}
            tracers = dict(zip(entered, pool.map(lambda one: one.__enter__(), entered.values()), strict=True))
        for one in entered.values():
            stack.push(one.__exit__)
        running = {letter: WindowAgent(letter, tracer, conditions, clock, drains) for letter, tracer in tracers.items()}
        for agent in running.values():
            stack.callback(agent.halt)
        yield running


def play(pool: ThreadPoolExecutor, casts: Sequence[Cast], part: str, window: int) -> dict[str, float]:
    """Run that part of each cast's scenario; return the seconds that each took."""

    def one(cast: Cast) -> float:
        begun = time.monotonic()
        try:
            cast.play(getattr(cast.scenario, part), window)
        except LabError as error:
            cast.complaints.append(str(error))
        return time.monotonic() - begun

    return dict(zip((cast.scenario.name for cast in casts), pool.map(one, casts), strict=True))


def run(scenarios: Sequence[Scenario], conditions: Conditions) -> list[Observed]:
    """Run all scenarios in one lab and one window (two, if one of them has a second part)."""
    directory = Directory(configured=ConfiguredRanges(external=Ranges.of((CLOSED,))))  # a range that is not public
    for node in NODES.values():
        directory.apply("Node", objects.node(node), time.time_ns() - SETTLED_NS)
    clock, drains = WallClock(), Drains()
    with ThreadPoolExecutor(PARALLEL) as pool, TwoNodes() as lab:
        lab.start_outside((OUTSIDE_PORT,))
        casts = [
            Cast(lab, directory, clock, drains, scenario, group) for group, scenario in enumerate(scenarios, start=1)
        ]
        begun = time.monotonic()
        for cast in casts:
            cast.prepare()
        prepared = (time.monotonic() - begun) / len(casts)
        play(pool, casts, "before", -1)
        captures, seconds = [], dict.fromkeys((one.name for one in scenarios), prepared)
        failures: dict[str, list[int]] = {one.name: [] for one in scenarios}
        for number, part in enumerate(("steps", "second")):
            if part == "second" and not any(one.second for one in scenarios):
                break
            before, failed_before = tcp_counts("ActiveOpens"), list(map(pod_failures, casts))
            with agents(conditions, clock, drains) as running:
                for name, took in play(pool, casts, part, number).items():
                    seconds[name] += took
                wait_for_handshakes(lab)
                captures.append({letter: agent.ended() for letter, agent in running.items()})
            opens = sum(max(0, count - before.get(place, 0)) for place, count in tcp_counts("ActiveOpens").items())
            for cast, failed in zip(casts, failed_before, strict=True):
                failures[cast.scenario.name].append(pod_failures(cast) - failed)
    return [
        Observed(cast, captures, seconds[cast.scenario.name], opens, failures[cast.scenario.name]) for cast in casts
    ]
