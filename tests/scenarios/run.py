"""Runs scenarios on the real kernel: one window for all that share it, observed by two agents, one a node."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from discovery.directory import Directory
from discovery.records import NS_PER_SECOND, Capture, Window
from lab.nodes import NODES, Nodes
from node_agent.maps import Counts, Tracer
from node_agent.observe import Node, observe
from tests.node_agent.kernel_side import attached
from tests.scenarios import objects
from tests.scenarios.table import Scenario
from tests.scenarios.world import OUTSIDE_PORT, Cast

PARALLEL = 6
LONGEST_NS = 600 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the scenarios of one window need of their agents: map sizes, seconds between drains."""

    capacity: dict[str, int | str] = field(default_factory=dict)
    drain_seconds: float = 0.5


CONDITIONS = {"shared": Conditions()}


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of one scenario: its cast and, for each window, the capture of every node's agent."""

    cast: Cast
    captures: list[dict[str, Capture]]
    seconds: float


def drained(_counts: Counts) -> None:
    """What these agents tell of a drain: nothing."""


class Agent:
    """One node's agent in one window: the real stages from the attached program to the capture."""

    def __init__(self, letter: str, tracer: Tracer, conditions: Conditions) -> None:
        self.node = Node(NODES[letter].name, Path("/proc"), conditions.drain_seconds)
        self.tracer = tracer
        self.stop = threading.Event()
        self.capture: Capture | None = None
        self.start_ns = time.time_ns()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Observe until told to stop."""
        window = Window(self.start_ns, self.start_ns + LONGEST_NS)
        self.capture = observe(self.tracer, window, self.node, self.stop, drained)

    def ended(self) -> Capture:
        """The capture of the window, which ends now."""
        self.stop.set()
        self.thread.join()
        if self.capture is None:
            raise RuntimeError(f"the agent of {self.node.name} ended without a capture")
        return replace(self.capture, window=Window(self.start_ns, time.time_ns()))


@contextmanager
def agents(conditions: Conditions) -> Iterator[dict[str, Agent]]:
    """An agent for each node; all have attached when the block begins."""
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            entered = {letter: attached(**conditions.capacity) for letter in NODES}
            tracers = dict(zip(entered, pool.map(lambda one: one.__enter__(), entered.values()), strict=True))
        for one in entered.values():
            stack.push(one.__exit__)
        yield {letter: Agent(letter, tracer, conditions) for letter, tracer in tracers.items()}


def play(casts: Sequence[Cast], part: str, window: int) -> dict[str, float]:
    """Every cast has carried out that part of its scenario; the seconds that each took."""

    def one(cast: Cast) -> float:
        begun = time.monotonic()
        cast.play(getattr(cast.scenario, part), window)
        return time.monotonic() - begun

    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip((cast.scenario.name for cast in casts), pool.map(one, casts), strict=True))


def run(scenarios: Sequence[Scenario], conditions: Conditions) -> list[Observed]:
    """All scenarios in one lab and one window (two, where one of them has a second part)."""
    directory = Directory()
    for node in NODES.values():
        directory.observe("Node", objects.node(node), time.time_ns())
    with Nodes() as lab:
        lab.outside((OUTSIDE_PORT,))
        casts = [Cast(lab, directory, scenario, group) for group, scenario in enumerate(scenarios, start=1)]
        begun = time.monotonic()
        for cast in casts:
            cast.prepare()
        prepared = (time.monotonic() - begun) / len(casts)
        play(casts, "before", -1)
        captures, seconds = [], dict.fromkeys((one.name for one in scenarios), prepared)
        for number, part in enumerate(("steps", "second")):
            if part == "second" and not any(one.second for one in scenarios):
                break
            with agents(conditions) as running:
                for name, took in play(casts, part, number).items():
                    seconds[name] += took
                captures.append({letter: agent.ended() for letter, agent in running.items()})
    return [Observed(cast, captures, seconds[cast.scenario.name]) for cast in casts]
