"""What became of each edge between a baseline and a fault: one state per edge, by counts of both. Pure.

The judge is the share of attempts that were established, not the count of failed ones: a connect into a black hole may
still be unfinished when the window ends. Counts of windows of different length are compared as rates.
"""

from dataclasses import dataclass
from enum import StrEnum

from chaos.control.judge.observed_edges import EdgeCounts, EdgeKey, Ends, Observation, union_of_edges


class State(StrEnum):
    """What became of an edge, worst first."""

    BROKEN = "broken"
    SILENT = "silent"
    DEGRADED = "degraded"
    SURGING = "surging"
    SLOW = "slow"
    NEW = "new"
    OK = "ok"
    ALREADY_BROKEN = "already broken"
    NOT_EXERCISED = "not exercised"
    NOT_OBSERVED = "not observed"


HARM = frozenset({State.BROKEN, State.SILENT, State.DEGRADED})
UNJUDGED = frozenset({State.ALREADY_BROKEN, State.NOT_EXERCISED, State.NOT_OBSERVED})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a state is left."""

    min_attempts: int = 5
    kept_ratio: float = 0.99  # of the baseline's established ratio
    surge: float = 2.0  # times the baseline's rate
    slow: float = 3.0  # times the baseline's mean handshake
    slow_seconds: float = 0.01  # and by so much, so that a fast edge's noise is none


@dataclass(frozen=True, slots=True)
class Impact:
    """An edge's state in the fault, why, and the counts behind it."""

    key: EdgeKey
    state: State
    reason: str
    baseline: EdgeCounts
    fault: EdgeCounts
    surge: float | None = None  # times the baseline's rate
    recovery: State | None = None


def impacts_of(
    baseline: Observation, fault: Observation, recovery: Observation | None = None, limits: Thresholds | None = None
) -> list[Impact]:
    """Every edge of baseline or fault with its state, in order of the edges' names."""
    limits = limits or Thresholds()
    found = []
    for key in union_of_edges([baseline, fault]):
        state, reason = judge_edge(key, baseline, fault, limits)
        after = judge_edge(key, baseline, recovery, limits)[0] if recovery else None
        before, then = counts_in(baseline, key), counts_in(fault, key)
        found.append(Impact(key, state, reason, before, then, surge_of(before, then, baseline, fault), after))
    return found


def counts_in(observation: Observation, key: EdgeKey) -> EdgeCounts:
    """The edge's counts, zero without it."""
    return observation.edges.get(key) or EdgeCounts()


def judge_edge(
    key: EdgeKey, baseline: Observation, fault: Observation, limits: Thresholds, ends: Ends = "both"
) -> tuple[State, str]:
    """The state of an edge and the reason in words, empty where counts say it; `ends` are those that must be seen."""
    before, then = counts_in(baseline, key), counts_in(fault, key)
    blind = list(dict.fromkeys([*fault.blind_ends(key, ends), *baseline.blind_ends(key, ends)]))
    if blind:
        return State.NOT_OBSERVED, "; ".join(blind)
    if not before.attempts and then.attempts:
        return State.NEW, "" if not before.opened_before else "only connections from before the windows until now"
    if before.attempts >= limits.min_attempts and not before.established:
        return State.ALREADY_BROKEN, f"0 of {before.attempts} attempts established in the baseline"
    expected = before.attempts * fault.seconds / baseline.seconds if baseline.seconds else 0.0
    if not then.attempts and expected >= limits.min_attempts:
        return State.SILENT, f"{expected:.0f} attempts expected, none made" + pooled(then)
    if then.attempts < limits.min_attempts:
        return State.NOT_EXERCISED, f"{then.attempts} attempts, at least {limits.min_attempts} needed" + pooled(then)
    return judge_exercised(before, then, surge_of(before, then, baseline, fault), limits)


def judge_exercised(before: EdgeCounts, then: EdgeCounts, surge: float | None, limits: Thresholds) -> tuple[State, str]:
    """The state of an edge that made enough attempts in the fault."""
    if not then.established:
        return State.BROKEN, f"0 of {then.attempts} attempts established"
    before_ratio = before.ratio or 0.0
    # One attempt on its way at the end of the window says nothing.
    judged = then.attempts - (1 if then.unfinished and not then.failed else 0)
    if min(1.0, then.established / judged) < limits.kept_ratio * before_ratio:
        return State.DEGRADED, f"{then.established} of {then.attempts} attempts established, {before_ratio:.1%} before"
    if surge is not None and surge > limits.surge:
        return State.SURGING, f"{surge:.1f} times the baseline's attempts"
    mean, mean_before = then.handshake_mean, before.handshake_mean
    if mean and mean_before and mean > limits.slow * mean_before and mean - mean_before > limits.slow_seconds:
        return State.SLOW, f"handshake {mean * 1000:.1f} ms, {mean_before * 1000:.1f} ms before"
    return State.OK, ""


def surge_of(before: EdgeCounts, then: EdgeCounts, baseline: Observation, fault: Observation) -> float | None:
    """The rate of attempts as a multiple of the baseline's; None without one."""
    if not before.attempts or not baseline.seconds or not fault.seconds:
        return None
    return (then.attempts / fault.seconds) / (before.attempts / baseline.seconds)


def pooled(then: EdgeCounts) -> str:
    """A note on connections that stay open."""
    return "; connections from before the window stay open" if then.opened_before else ""
