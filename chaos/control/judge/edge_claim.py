"""What one probe expects of an edge, judged by a baseline and the fault's windows: Pass, Fail or N/A. Pure."""

from typing import NamedTuple

from chaos.control.judge.hypothesis import Hypothesis, read_hypothesis
from chaos.control.judge.impact import Impact, impacts_of
from chaos.control.judge.observed_edges import Observation
from chaos.control.judge.verdict import Outcome, decide, is_named
from chaos.task_action import EdgeInputs
from podsonar.errors import InputError


class EdgeFinding(NamedTuple):
    """The outcome and why: of an edge that passed its state and counts."""

    outcome: Outcome
    reason: str


def hypothesis_of(wanted: EdgeInputs) -> Hypothesis:
    """The claim of a probe as a hypothesis; InputError names the member and what was expected."""
    bounds = (wanted.min_established, wanted.max_handshake_ms, wanted.max_surge)
    if wanted.expect != "holds" and any(bound is not None for bound in bounds):
        raise InputError("minEstablished, maxHandshakeMs and maxSurge: expected only where an edge holds")
    held = {
        "edge": wanted.edge,
        "minEstablished": wanted.min_established,
        "maxHandshakeMs": wanted.max_handshake_ms,
    }
    claim: dict[str, object] = {wanted.expect: [held if wanted.expect == "holds" else wanted.edge]}
    others = {"elsewhere": "ignored", "minAttempts": wanted.min_attempts, "maxSurge": wanted.max_surge}
    return read_hypothesis(claim | others, "edgeProbe/inputs")


def judge_claim(wanted: EdgeInputs, baseline: Observation, fault: Observation) -> EdgeFinding:
    """What became of the edge; N/A without a window of either kind."""
    hypothesis = hypothesis_of(wanted)
    if not baseline.windows:
        return EdgeFinding(Outcome.NOT_AVAILABLE, "no window was observed before the run")
    if not fault.windows:
        return EdgeFinding(Outcome.NOT_AVAILABLE, "no window lies in the time of the fault")
    impacts = impacts_of(baseline, fault, None, hypothesis.thresholds)
    verdict = decide(hypothesis, impacts, baseline, fault)
    if verdict.outcome is not Outcome.PASS:
        return EdgeFinding(verdict.outcome, "; ".join(verdict.reasons))
    patterns = [
        *hypothesis.breaking,
        *hypothesis.degrading,
        *hypothesis.slowing,
        *(held.pattern for held in hypothesis.holding),
    ]
    named = [one for one in impacts if is_named(one, patterns)]
    for one in named:
        if wanted.max_surge is not None and one.surge is not None and one.surge > wanted.max_surge:
            text = f"{one.surge:.1f} times the baseline's attempts, at most {wanted.max_surge:g} expected"
            return EdgeFinding(Outcome.FAIL, f"{one.key.text}: {text}")
    return EdgeFinding(Outcome.PASS, "; ".join(map(counted, named)))


def counted(one: Impact) -> str:
    """An edge with its state and counts."""
    return f"{one.key.text}: {one.state}, {one.fault.established} of {one.fault.attempts} attempts established"
