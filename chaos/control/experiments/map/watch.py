"""Ends a run when the map shows that an edge outside its prediction breaks while its faults are in.

Runs with `spec.hypothesis` are watched. Whenever agents have delivered something of a window that overlaps the time
since the run's first step began, it is judged; the run is asked to stop, with the edge as the reason. It is compared
with the baseline that probes and the report of the run have. Of one that the run ordered, windows may still be on their
way when the fault begins: what they add counts from the next look on.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from starlette.exceptions import HTTPException

from chaos.control.experiments.map.plan import plan_task
from chaos.control.experiments.map.windows import NO_OWN_BASELINE, SETTLE_NS, RunMaps, orders_windows
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.experiments.runs.store import record_of, request_stop
from chaos.control.judge.escape import expects, find_escaped
from chaos.control.judge.hypothesis import Hypothesis
from chaos.control.judge.observed_edges import EdgeKey, Observation, blind_nodes, observe
from manager.parts import PartContext
from manager.store.agents import Agent
from manager.store.experiments.runs import find_run_of_any_tenant, open_runs
from manager.worker_threads import run_in_thread
from podsonar.errors import PodsonarError, StoreError
from podsonar.timestamp import NS_PER_SECOND

WATCH_SECONDS = 2.0
MOST_NAMED = 3  # edges in a reason

log = structlog.get_logger()


@dataclass
class Watched:
    """What is known of a run: its baseline, the edges that each of its tasks touches, what was judged last."""

    hypothesis: Hypothesis
    agent: Agent
    baseline: Observation
    direct: Mapping[str, Mapping[EdgeKey, object]]
    unresolved: str = ""  # why the map does not know a target
    before: tuple[str, ...] = ()  # versions of the baseline's windows
    judged: tuple[tuple[str, bool], ...] = ()  # versions of windows, and whether they were settled


class MapWatch:
    """Every open run with a hypothesis; one that cannot be watched is logged once."""

    def __init__(self, context: PartContext) -> None:
        self.store, self.clock, self.maps = context.store, context.clock, RunMaps(context.maps)
        self.each = EachRun(context.metrics.loop_failures.labels("edges").inc)
        self.watched: dict[str, Watched] = {}
        self.not_watched: dict[str, str] = {}  # the reasons that were logged

    def step(self) -> None:
        """Look at every open run once."""
        with self.store.reading() as connection:
            rows = open_runs(connection)
        known = {str(row["id"]) for row in rows}
        self.watched = {run: one for run, one in self.watched.items() if run in known}
        self.not_watched = {run: why for run, why in self.not_watched.items() if run in known}
        self.each.act((str(row["id"]) for row in rows if row["stop_ns"] is None), self.look)

    def look(self, run_id: str) -> None:
        """Stop a run if an edge outside breaks."""
        with self.store.reading() as connection:
            row = find_run_of_any_tenant(connection, run_id)
        if row is None or row["completed"]:
            return
        try:
            self.look_at(record_of(row))
        except (PodsonarError, HTTPException) as error:
            log.warning("run_not_judged", run=run_id, error=str(error))

    def look_at(self, record: RunRecord) -> None:
        """Stop a run that has begun if an edge outside breaks."""
        if record.manifest["spec"].get("hypothesis") is None:
            return
        began = [int(node.started_at) for node in record.execution.steps.values() if node.started_at]
        if not began or not any(node.phase == "Running" for node in record.execution.steps.values()):
            return
        began_ns = min(began) * NS_PER_SECOND
        watched = self.watch(record, began_ns)
        escaped = self.judge(record, watched, began_ns) if watched else []
        if escaped:
            text = f"edge outside the prediction: {'; '.join(escaped[:MOST_NAMED])}"
            more = len(escaped) - MOST_NAMED
            reason = text + (f"; and {more} more" if more > 0 else "")
            with self.store.writing() as connection:
                request_stop(connection, record.tenant, record.run_id, reason, self.clock())
            log.warning("run_stopped_by_map", run=record.run_id, reason=reason)

    def watch(self, record: RunRecord, began_ns: int) -> Watched | None:
        """What a run is judged by now; None without it, and once agents had time to deliver it the reason is logged."""
        watched, why = self.find(record, began_ns)
        is_late = not orders_windows(record) or self.clock() >= began_ns + SETTLE_NS
        if why and is_late and self.not_watched.get(record.run_id) != why:
            self.not_watched[record.run_id] = why
            log.warning("run_not_watched", run=record.run_id, reason=why)
        return None if why else watched

    def find(self, record: RunRecord, began_ns: int) -> tuple[Watched | None, str]:
        """What is known of a run, read again when its own baseline is another one, and why that is not enough."""
        agent = self.maps.find_agent(record.tenant, record.infra_id)
        if agent is None:
            return None, "no agent of this name"
        before: tuple[str, ...] = ()
        if orders_windows(record):
            own = self.maps.ordered_baseline(agent, record, began_ns)
            before = tuple(self.maps.version(agent, one) for one in own)
            if not before:
                return None, NO_OWN_BASELINE
        known = self.watched.get(record.run_id)
        if known is None or known.before != before:
            known = self.watched[record.run_id] = self.read(record, agent, began_ns, before)
        return known, known.unresolved

    def read(self, record: RunRecord, agent: Agent, began_ns: int, before: tuple[str, ...]) -> Watched:
        """Read the baseline, of windows that every node observed whole if there are some, and what the tasks touch."""
        manifest = read_manifest(record.manifest)
        maps = self.maps.baseline_of(agent, record, began_ns)
        baseline = observe([one for one in maps if not blind_nodes(one)] or maps)
        plans = {task.name: plan_task(task, baseline) for task in manifest.spec.tasks}
        why = next((plan.unresolved for plan in plans.values() if plan.unresolved), "")
        direct = {name: plan.prediction.direct for name, plan in plans.items()}
        return Watched(manifest.spec.read_claims() or Hypothesis(), agent, baseline, direct, why, before)

    def judge(self, record: RunRecord, watched: Watched, began_ns: int) -> list[str]:
        """The edges outside that broke since a time, if there is anything new to judge."""
        windows = self.maps.since(watched.agent, began_ns)
        settled = frozenset(one.id for one in windows if one.end_ns + SETTLE_NS <= self.clock())
        versions = tuple((self.maps.version(watched.agent, one), one.id in settled) for one in windows)
        if not windows or versions == watched.judged:
            return []
        maps = [self.maps.map_of(watched.agent, one) for one in windows]
        begun = {node.name for node in record.execution.steps.values() if node.started_at}
        direct = {key: True for name, keys in watched.direct.items() if name in begun for key in keys}
        expected = expects(watched.hypothesis, direct)
        found = find_escaped(watched.baseline, maps, expected, watched.hypothesis.min_attempts, settled)
        watched.judged = versions
        return found


def watching_loop(context: PartContext) -> Callable[[], Coroutine[Any, Any, None]]:
    """The loop, until cancelled."""
    watch = MapWatch(context)

    async def loop() -> None:
        while True:
            await anyio.sleep(WATCH_SECONDS)
            try:
                await run_in_thread(watch.step)
            except StoreError as error:
                log.warning("runs_not_watched", error=str(error))

    return loop
