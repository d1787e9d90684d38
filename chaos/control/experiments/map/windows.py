"""The maps of windows around a run: those of the agent that has the name of the run's infrastructure in its tenant.

The baseline is the newest windows that ended before the run was ordered and in which every node was observed whole: at
most three; if there is none, the newest one: what nobody saw is named then. A window that lies within a fault is its.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.judge.observed_edges import Observation, blind_nodes, observe
from manager.history.window_maps import WindowMaps
from manager.store.agents import Agent, find_agent
from manager.store.tenancy import Tenant
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND

BASELINE_WINDOWS, LOOKED_AT = 3, 5
OLDEST_NS = 24 * 3600 * NS_PER_SECOND
SETTLE_NS = 15 * NS_PER_SECOND  # an agent asks its directory 10 s after a window, then it delivers
NO_OWN_BASELINE = "no baseline window that was ordered for this run was observed"
CLOCKS_NS = NS_PER_SECOND  # by so much the clocks of runner and nodes may differ


def orders_windows(run: RunRecord) -> bool:
    """Whether a run orders windows of its own."""
    return read_manifest(run.manifest).spec.windows is not None


def ended_before(windows: Sequence[Window], time_ns: int) -> list[Window]:
    """The windows that ended within a day before that time, newest first; none that was ordered for a fault."""
    quiet = [one for one in windows if one.purpose is None or one.purpose.kind == "baseline"]
    found = [one for one in quiet if time_ns - OLDEST_NS < one.end_ns <= time_ns]
    return sorted(found, key=lambda one: -one.end_ns)


def within(windows: Sequence[Window], start_ns: int, end_ns: int) -> list[Window]:
    """The windows that lie within a time, whichever of the clocks is ahead; oldest first."""
    first, last = start_ns + CLOCKS_NS, end_ns - CLOCKS_NS
    found = [one for one in windows if first <= one.start_ns and one.end_ns <= last]
    return sorted(found, key=lambda one: one.start_ns)


def behind(windows: Sequence[Window], end_ns: int, run_id: str) -> list[Window]:
    """The windows that began after a time, whichever of the clocks is ahead; oldest first.

    None that was ordered for another run: its fault may be on.
    """
    quiet = [one for one in windows if one.purpose is None or one.purpose.run == run_id]
    return sorted((one for one in quiet if one.start_ns >= end_ns + CLOCKS_NS), key=lambda one: one.start_ns)


class RunMaps:
    """Maps by tenant and infrastructure."""

    def __init__(self, maps: WindowMaps) -> None:
        self.maps = maps

    def find_agent(self, tenant: Tenant, infra_id: str) -> Agent | None:
        """The agent that observes an infrastructure."""
        return find_agent(self.maps.store, infra_id, tenant)

    def map_of(self, agent: Agent, window: Window) -> dict[str, Any]:
        """The map of a window, as the API answers it."""
        text = self.maps.text(agent, window)
        head = (b'{"window":', text.window, b',"services":', text.services)
        found: dict[str, Any] = orjson.loads(b"".join((*head, b',"edges":', text.edges, b",", text.others)))
        return found

    def windows(self, agent: Agent) -> Sequence[Window]:
        """Every window that is known of an agent."""
        return self.maps.windows(agent)

    def baseline(self, agent: Agent, before_ns: int) -> Observation:
        """The sum of the baseline's windows; without one an empty sum."""
        return observe(self.baseline_maps(agent, before_ns))

    def baseline_of(self, agent: Agent, run: RunRecord, before_ns: int) -> list[dict[str, Any]]:
        """The maps of a run's baseline: of the windows that it ordered and no others, if it orders some."""
        if not orders_windows(run):
            return self.baseline_maps(agent, min(before_ns, run.created_ns))
        return [self.map_of(agent, one) for one in self.ordered_baseline(agent, run, before_ns)]

    def ordered_baseline(self, agent: Agent, run: RunRecord, before_ns: int) -> list[Window]:
        """The windows that a run ordered for its baseline, of which something was delivered."""
        wanted = Purpose(run.run_id, "baseline")
        return [one for one in self.maps.windows(agent) if one.purpose == wanted and one.end_ns <= before_ns]

    def version(self, agent: Agent, window: Window) -> str:
        """What is another one as soon as the map of a window is."""
        return self.maps.version(agent, window)[1]

    def baseline_maps(self, agent: Agent, before_ns: int) -> list[dict[str, Any]]:
        """The maps of the baseline's windows, the newest first."""
        newest = ended_before(self.maps.windows(agent), before_ns)[:LOOKED_AT]
        whole: list[dict[str, Any]] = []
        for window in newest:
            found = self.map_of(agent, window)
            if not blind_nodes(found):
                whole.append(found)
            if len(whole) == BASELINE_WINDOWS:
                break
        return whole or [self.map_of(agent, one) for one in newest[:1]]

    def since(self, agent: Agent, time_ns: int) -> list[Window]:
        """The windows that ended after a time, oldest first."""
        found = [one for one in self.maps.windows(agent) if one.end_ns > time_ns]
        return sorted(found, key=lambda one: one.start_ns)

    def fault(self, agent: Agent, start_ns: int, end_ns: int) -> Observation:
        """The sum of the windows within a fault; without one an empty sum."""
        return observe([self.map_of(agent, one) for one in within(self.maps.windows(agent), start_ns, end_ns)])
