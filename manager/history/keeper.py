"""Which windows' maps are to be computed now, and the loop that does it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from manager.history.archive import Archive
from manager.store.agents import Agent, list_agents
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, WindowState, list_kept, list_states
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

PER_STEP = 8  # windows: a step ends soon, so that a manager that ends does not wait for it

BuildMap = Callable[[Agent, Window], dict[str, Any]]


def due_windows(
    states: Iterable[WindowState], kept: Mapping[str, KeptMap], now_ns: int, settle_ns: int
) -> list[WindowState]:
    """The windows whose map is missing or out of date, and whose batches have stopped coming."""
    return [
        state
        for state in states
        if now_ns >= state.window.end_ns
        and now_ns - state.received_ns >= settle_ns
        and (state.window.id not in kept or state.is_newer_than(kept[state.window.id]))
    ]


class HistoryKeeper:
    """Computes maps as their batches come in; an agent that sent nothing new is not looked at again."""

    def __init__(self, store: Store, archive: Archive, build: BuildMap, settle_seconds: int) -> None:
        self.store, self.archive, self.build = store, archive, build
        self.settle_ns = settle_seconds * NS_PER_SECOND
        self.done: dict[str, int] = {}  # agent -> the revision of which nothing is left to do

    def step(self, now_ns: int) -> list[tuple[Agent, KeptMap]]:
        """Compute up to `PER_STEP` maps that are due, newest first, and return them."""
        made: list[tuple[Agent, KeptMap]] = []
        for agent in list_agents(self.store):
            if self.done.get(agent.id) == agent.revision:
                continue
            kept = {one.window_id: one for one in list_kept(self.store, agent.id)}
            waiting = list_states(self.store, agent.id)
            waiting = [one for one in waiting if one.window.id not in kept or one.is_newer_than(kept[one.window.id])]
            due = due_windows(waiting, kept, now_ns, self.settle_ns)[: PER_STEP - len(made)]
            for state in due:
                found = self.build(agent, state.window)
                made.append((agent, self.archive.keep(agent.id, state, found, now_ns)))
            if len(due) == len(waiting):
                self.done[agent.id] = agent.revision
            if len(made) >= PER_STEP:
                break
        return made
