"""The verdict of a hypothesis over the impacts of a fault: Pass, Fail or N/A, never Pass by absence. Pure.

Each edge that the hypothesis speaks of becomes a claim. One failed claim fails the whole, since it was observed;
without one, a claim that could not be judged makes the whole N/A.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chaos.control.judge.edge_pattern import EdgePattern
from chaos.control.judge.hypothesis import HeldEdge, Hypothesis
from chaos.control.judge.impact import HARM, UNJUDGED, Impact, State
from chaos.control.judge.observed_edges import Observation


class Outcome(StrEnum):
    """What became of a claim, and of all of them."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    NOT_AVAILABLE = "N/A"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the hypothesis about one edge, and its outcome; `edge` is a pattern's text without an edge."""

    said: str  # breaks, degrades, holds, elsewhere
    edge: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, its claims, and the edges that nothing was claimed of."""

    outcome: Outcome
    claims: Sequence[Claim]
    unclaimed: Sequence[Impact]

    @property
    def reasons(self) -> list[str]:
        """One sentence per claim that decided the outcome."""
        if self.outcome is Outcome.PASS:
            return []
        decisive = [one for one in self.claims if one.outcome is self.outcome]
        return [f"{one.edge}: {one.reason}" for one in decisive] or ["nothing was claimed that could be judged"]


def decide(hypothesis: Hypothesis, impacts: Sequence[Impact], baseline: Observation, fault: Observation) -> Verdict:
    """The verdict of a hypothesis."""
    claims = [
        *claims_of(impacts, hypothesis.breaking, "breaks", frozenset({State.BROKEN})),
        *claims_of(impacts, hypothesis.degrading, "degrades", frozenset({State.BROKEN, State.DEGRADED})),
        *claims_of(impacts, hypothesis.slowing, "slows", frozenset({State.SLOW})),
        *(claim for held in hypothesis.holding for claim in held_claims(impacts, held)),
    ]
    claimed = [*hypothesis.breaking, *hypothesis.degrading, *hypothesis.slowing]
    named = [*claimed, *(held.pattern for held in hypothesis.holding)]
    others = [one for one in impacts if not is_named(one, [*named, *hypothesis.ignored])]
    unclaimed: list[Impact] = [one for one in impacts if is_named(one, hypothesis.ignored)]
    if hypothesis.elsewhere == "holds":
        for one in others:
            claim = elsewhere_claim(one, hypothesis)
            if claim is None:
                unclaimed.append(one)
            else:
                claims.append(claim)
        claims += blind_claims(baseline, fault)
    else:
        unclaimed += others
    return Verdict(outcome_of(claims), claims, unclaimed)


def outcome_of(claims: Iterable[Claim]) -> Outcome:
    """Fail beats N/A beats Pass; without a claim N/A."""
    outcomes = {one.outcome for one in claims}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.NOT_AVAILABLE


def is_named(impact: Impact, patterns: Iterable[EdgePattern]) -> bool:
    """Whether a pattern means the edge."""
    return any(pattern.matches(impact.key) for pattern in patterns)


def matching(impacts: Iterable[Impact], pattern: EdgePattern) -> list[Impact]:
    """The edges that a pattern means."""
    return [one for one in impacts if pattern.matches(one.key)]


def claims_of(
    impacts: Sequence[Impact], patterns: Iterable[EdgePattern], said: str, wanted: frozenset[State]
) -> Iterator[Claim]:
    """Claims that edges break or degrade."""
    for pattern in patterns:
        found = matching(impacts, pattern)
        if not found:
            yield Claim(said, pattern.text, Outcome.NOT_AVAILABLE, "no such edge in baseline or fault")
        for one in found:
            yield harm_claim(one, said, wanted)


def harm_claim(one: Impact, said: str, wanted: frozenset[State]) -> Claim:
    """The claim that one edge breaks or degrades."""
    if one.state in wanted:
        return Claim(said, one.key.text, Outcome.PASS, one.reason)
    if one.state in UNJUDGED | {State.SILENT, State.NEW}:
        return Claim(said, one.key.text, Outcome.NOT_AVAILABLE, in_words(one))
    return Claim(said, one.key.text, Outcome.FAIL, f"expected that it {said}: {in_words(one)}")


def held_claims(impacts: Sequence[Impact], held: HeldEdge) -> Iterator[Claim]:
    """Claims that edges hold."""
    found = matching(impacts, held.pattern)
    if not found:
        yield Claim("holds", held.pattern.text, Outcome.NOT_AVAILABLE, "no such edge in baseline or fault")
    for one in found:
        if one.state in UNJUDGED | {State.NEW}:
            yield Claim("holds", one.key.text, Outcome.NOT_AVAILABLE, in_words(one))
            continue
        failure = failure_of(one, held)
        yield Claim("holds", one.key.text, Outcome.FAIL if failure else Outcome.PASS, failure or in_words(one))


def failure_of(one: Impact, held: HeldEdge) -> str:
    """Why an exercised edge did not hold; empty if it did."""
    ratio, longest = one.fault.ratio or 0.0, one.fault.handshake_mean
    if held.max_handshake_ms is not None and longest is not None and longest * 1000 > held.max_handshake_ms:
        return f"handshake {longest * 1000:.1f} ms, at most {held.max_handshake_ms:g} ms expected"
    if held.min_established is None:
        return in_words(one) if one.state in HARM else ""
    least = float(held.min_established.rstrip("%")) / 100
    return f"{ratio:.1%} established, at least {held.min_established} expected" if ratio < least else ""


def elsewhere_claim(one: Impact, hypothesis: Hypothesis) -> Claim | None:
    """The claim that an edge which nobody named holds; None for one too rare in the baseline to say so."""
    said, edge = "elsewhere", one.key.text
    if one.state in HARM or (one.state is State.NEW and is_all_failed(one, hypothesis.min_attempts)):
        return Claim(said, edge, Outcome.FAIL, in_words(one))
    if hypothesis.max_surge is not None and one.surge is not None and one.surge > hypothesis.max_surge:
        text = f"{one.surge:.1f} times the baseline's attempts, at most {hypothesis.max_surge:g} expected"
        return Claim(said, edge, Outcome.FAIL, text)
    if one.state is State.NOT_OBSERVED:
        return Claim(said, edge, Outcome.NOT_AVAILABLE, in_words(one))
    if one.state is State.NOT_EXERCISED:
        rare = one.baseline.attempts < hypothesis.min_attempts
        return None if rare else Claim(said, edge, Outcome.NOT_AVAILABLE, in_words(one))
    if one.state in {State.ALREADY_BROKEN, State.NEW}:
        return None
    return Claim(said, edge, Outcome.PASS, in_words(one))


def is_all_failed(one: Impact, least: int) -> bool:
    """Whether an edge made enough attempts and none succeeded."""
    return one.fault.attempts >= least and not one.fault.established


def blind_claims(baseline: Observation, fault: Observation) -> Iterator[Claim]:
    """What may have happened elsewhere unseen: nodes not observed, and edges that a map had no room for."""
    for name, seen in (("baseline", baseline), ("fault", fault)):
        for node, reasons in sorted(seen.blind.items()):
            for reason in reasons:
                yield Claim("elsewhere", f"every edge of {node}", Outcome.NOT_AVAILABLE, f"{reason} ({name})")
        if seen.aggregated:
            text = f"{seen.aggregated} connections have no edge of their own ({name})"
            yield Claim("elsewhere", "every other edge", Outcome.NOT_AVAILABLE, text)


def in_words(one: Impact) -> str:
    """The state with its reason."""
    return f"{one.state}: {one.reason}" if one.reason else str(one.state)
