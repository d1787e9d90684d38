"""What the map says of a run: `GET /v1/chaos/runs/{run}/impact`, the report of `podsonar chaos judge` over its windows.

The windows are those of the agent that has the name of the run's infrastructure: the baseline before the order, the
fault within the time in which a step ran, at most three behind the last step's end. Without a window of the fault, or
before it, there is no report, and `reason` says why.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.control.experiments.map.plan import plan_task
from chaos.control.experiments.map.windows import NO_OWN_BASELINE, SETTLE_NS, RunMaps, behind, orders_windows, within
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.manifest import Manifest, read_manifest
from chaos.control.judge.hypothesis import Hypothesis
from chaos.control.judge.observed_edges import Observation, observe
from chaos.control.judge.prediction import Prediction, together
from chaos.control.judge.report import judge, report_json
from manager.store.agents import Agent
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339

RECOVERY_WINDOWS = 3
CLAIMS_NOTHING = Hypothesis(elsewhere="ignored")

Map = Mapping[str, Any]


def impact_json(run: RunRecord, maps: RunMaps, now_ns: int) -> dict[str, Any]:
    """The answer: `report` or null with a `reason`, and the windows by kind with their times.

    `settled` is false as long as agents may have windows of the fault, or behind it, that they have not delivered.
    """
    agent = maps.find_agent(run.tenant, run.infra_id)
    if agent is None:
        return answer(None, f"no agent {run.infra_id} observes this infrastructure", [], [], [], settled=True)
    times = step_times(run, now_ns)
    end_ns = max((end for _start, end in times), default=now_ns)
    settled = run.completed and now_ns >= end_ns + SETTLE_NS
    begin_ns = min((start for start, _end in times), default=now_ns)
    baseline = maps.baseline_of(agent, run, begin_ns)
    fault = fault_maps(maps, agent, times)
    recovery = [maps.map_of(agent, one) for one in behind(maps.windows(agent), end_ns, run.run_id)[:RECOVERY_WINDOWS]]
    recovery = recovery if run.completed else []
    why = reason_of(times, baseline, fault, ordered=orders_windows(run))
    report = None if why else report_of(run, baseline, fault, recovery)
    return answer(report, why, baseline, fault, recovery, settled=settled)


def answer(
    report: Map | None,
    why: str,
    baseline: Sequence[Map],
    fault: Sequence[Map],
    recovery: Sequence[Map],
    *,
    settled: bool,
) -> dict[str, Any]:
    """The members of the answer."""
    kinds = {"baseline": baseline, "fault": fault, "recovery": recovery}
    windows = [
        {"kind": kind, **{name: one["window"][name] for name in ("id", "start", "end")}}
        for kind, found in kinds.items()
        for one in sorted(found, key=lambda one: str(one["window"]["start"]))
    ]
    return {"report": report, "reason": why, "settled": settled, "windows": windows}


def step_times(run: RunRecord, now_ns: int) -> list[tuple[int, int]]:
    """Begin and end of every step that has begun; one that runs ends now. Whole seconds, as runners report them."""
    return [
        (int(node.started_at) * NS_PER_SECOND, int(node.finished_at) * NS_PER_SECOND if node.finished_at else now_ns)
        for node in run.execution.steps.values()
        if node.started_at
    ]


def fault_maps(maps: RunMaps, agent: Agent, times: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """The maps of the windows within a step's time, each once."""
    known = maps.windows(agent)
    found: dict[str, Window] = {one.id: one for start, end in times for one in within(known, start, end)}
    return [maps.map_of(agent, one) for one in sorted(found.values(), key=lambda one: one.start_ns)]


def reason_of(times: Sequence[tuple[int, int]], baseline: Sequence[Map], fault: Sequence[Map], *, ordered: bool) -> str:
    """Why there is no report; empty if there can be one."""
    if not times:
        return "no step has begun"
    if not baseline:
        return NO_OWN_BASELINE if ordered else "no window was observed before the run"
    if not fault:
        first, last = min(start for start, _end in times), max(end for _start, end in times)
        return f"no window lies within the time of the steps, {rfc3339(first)} to {rfc3339(last)}"
    return ""


def report_of(run: RunRecord, baseline: Sequence[Map], fault: Sequence[Map], recovery: Sequence[Map]) -> dict[str, Any]:
    """The report of the experiment's own hypothesis; without one nothing is claimed, and the verdict is N/A."""
    manifest = read_manifest(run.manifest)
    hypothesis = manifest.spec.read_claims() or CLAIMS_NOTHING
    return report_json(judge(baseline, fault, hypothesis, recovery, prediction_of(manifest, observe(baseline))))


def prediction_of(manifest: Manifest, baseline: Observation) -> Prediction:
    """What all tasks together were expected to touch, of targets that the map knows."""
    plans = [plan_task(task, baseline) for task in manifest.spec.tasks]
    return together([plan.prediction for plan in plans if not plan.unresolved])
