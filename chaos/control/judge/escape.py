"""Edges that break while a fault is in and that nobody predicted: reasons to end the fault. Pure.

What the connecting end saw is enough here: evidence that is not settled may stop a run, and never passes or fails one.
Every window is judged alone, so that an edge which breaks late is seen, and their sum, for edges with few attempts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos.control.judge.hypothesis import Hypothesis
from chaos.control.judge.impact import Impact, State, Thresholds, counts_in, judge_edge, surge_of
from chaos.control.judge.observed_edges import EdgeKey, Observation, observe, union_of_edges

SURE_ATTEMPTS = 20  # an edge that would have made so many and made none is silent, however irregular its clients are
CHANCE = 0.001  # of seeing no connect established of an edge on which some failed before, too


def expects(hypothesis: Hypothesis, direct: Mapping[EdgeKey, object]) -> Callable[[EdgeKey], bool]:
    """Whether an edge may break: it is predicted, named by the hypothesis to break or degrade, or ignored."""
    patterns = [*hypothesis.breaking, *hypothesis.degrading, *hypothesis.ignored]
    if hypothesis.elsewhere == "ignored":
        held = [one.pattern for one in hypothesis.holding]
        return lambda key: key in direct or not any(one.matches(key) for one in held)
    return lambda key: key in direct or any(one.matches(key) for one in patterns)


def find_escaped(
    baseline: Observation,
    maps: Sequence[Mapping[str, Any]],
    is_expected: Callable[[EdgeKey], bool],
    least: int,
    settled: frozenset[str],
) -> list[str]:
    """A sentence per edge outside that is broken or silent in one of the maps, or in their sum.

    Only windows of which agents had time to deliver everything, the `settled` ones by their ids, show a silent edge.
    """
    seen = [observe([one]) for one in maps]
    seen += [observe(maps)] if len(maps) > 1 else []
    found: dict[EdgeKey, str] = {}
    for during in seen:
        for key in union_of_edges([baseline, during]):
            if key not in found and not is_expected(key):
                one = impact_of(key, baseline, during, least)
                if is_certain(one, baseline, during, settled):
                    found[key] = f"{key.text}: {one.state}: {one.reason} in window {', '.join(during.windows[-1:])}"
    return [found[key] for key in sorted(found)]


def impact_of(key: EdgeKey, baseline: Observation, during: Observation, least: int) -> Impact:
    """The state of an edge by its connecting end."""
    state, reason = judge_edge(key, baseline, during, Thresholds(min_attempts=least), ends="source")
    before, then = counts_in(baseline, key), counts_in(during, key)
    return Impact(key, state, reason, before, then, surge_of(before, then, baseline, during))


def is_certain(one: Impact, baseline: Observation, during: Observation, settled: frozenset[str]) -> bool:
    """Whether the edge is broken or silent, and chance alone does not make it so."""
    if one.state is State.BROKEN:
        return (1.0 - (one.baseline.ratio or 0.0)) ** one.fault.attempts < CHANCE
    expected = one.baseline.attempts * during.seconds / baseline.seconds if baseline.seconds else 0.0
    return one.state is State.SILENT and expected >= SURE_ATTEMPTS and settled.issuperset(during.windows)
