"""The report of a judgement: one JSON document, and the same as text; what was not foreseen comes first. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.control.judge.hypothesis import Hypothesis
from chaos.control.judge.impact import HARM, Impact, State, impacts_of
from chaos.control.judge.observed_edges import EdgeCounts, Observation, observe
from chaos.control.judge.prediction import Prediction
from chaos.control.judge.verdict import Verdict, decide, is_named

LIMITS = (
    "Connects only: a client that keeps its connections open makes none, and its edge is `not exercised`.",
    "An edge breaks here when connects fail, not when answers are wrong.",
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what it rests on."""

    verdict: Verdict
    impacts: Sequence[Impact]
    hypothesis: Hypothesis
    baseline: Observation
    fault: Observation
    recovery: Observation | None
    prediction: Prediction | None = None


Maps = Sequence[Mapping[str, Any]]


def judge(
    baseline: Maps,
    fault: Maps,
    hypothesis: Hypothesis,
    recovery: Maps = (),
    prediction: Prediction | None = None,
) -> Judgement:
    """Judge the maps of fault windows against those of a baseline; InputError for what is no map."""
    before, then = observe(baseline), observe(fault)
    after = observe(recovery) if recovery else None
    impacts = impacts_of(before, then, after, hypothesis.thresholds)
    verdict = decide(hypothesis, impacts, before, then)
    return Judgement(verdict, impacts, hypothesis, before, then, after, prediction)


def foreseen(one: Impact, judgement: Judgement) -> bool:
    """Whether prediction or hypothesis said that the edge would be touched."""
    if judgement.prediction is not None and one.key in judgement.prediction.direct:
        return True
    claimed = judgement.hypothesis
    return is_named(one, [*claimed.breaking, *claimed.degrading, *claimed.slowing])


def report_json(judgement: Judgement) -> dict[str, Any]:
    """The whole report."""
    touched = {one.key for one in judgement.impacts if one.state in HARM | {State.NEW, State.SURGING, State.SLOW}}
    planned = [one for one in judgement.impacts if foreseen(one, judgement)]
    return {
        "verdict": judgement.verdict.outcome,
        "reasons": judgement.verdict.reasons,
        "limits": list(LIMITS),
        "surprises": [one.key.text for one in judgement.impacts if one.key in touched and not foreseen(one, judgement)],
        "predictedAndSeen": [one.key.text for one in planned if one.key in touched],
        "predictedAndHeld": [one.key.text for one in planned if one.state is State.OK],
        "windows": {
            "baseline": window_json(judgement.baseline),
            "fault": window_json(judgement.fault),
            "recovery": window_json(judgement.recovery) if judgement.recovery else None,
        },
        "edges": [impact_json(one) for one in judgement.impacts],
        "claims": [
            {"says": one.said, "edge": one.edge, "outcome": one.outcome, "reason": one.reason}
            for one in judgement.verdict.claims
        ],
        "notClaimed": [one.key.text for one in judgement.verdict.unclaimed],
        "prediction": prediction_json(judgement.prediction) if judgement.prediction else None,
    }


def window_json(seen: Observation) -> dict[str, Any]:
    """Which windows, how long, and which nodes were blind in them."""
    return {"ids": seen.windows, "seconds": seen.seconds, "blind": {k: seen.blind[k] for k in sorted(seen.blind)}}


def impact_json(one: Impact) -> dict[str, Any]:
    """An edge of the report."""
    return {
        "edge": one.key.text,
        "source": one.key.source,
        "destination": one.key.destination,
        "port": one.key.port,
        "type": one.key.protocol,
        "state": one.state,
        "reason": one.reason,
        "surge": None if one.surge is None else round(one.surge, 2),
        "recovery": one.recovery,
        "baseline": counts_json(one.baseline),
        "fault": counts_json(one.fault),
    }


def counts_json(counts: EdgeCounts) -> dict[str, Any]:
    """The counts of an edge; handshakes in seconds."""
    return {
        "attempts": counts.attempts,
        "established": counts.established,
        "failed": counts.failed,
        "unfinished": counts.unfinished,
        "accepted": counts.accepted,
        "openedBefore": counts.opened_before,
        "lastErrno": counts.last_errno,
        "handshakeSeconds": {"mean": counts.handshake_mean, "max": counts.handshake_max},
        "backends": dict(sorted(counts.backends.items())),
    }


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction."""
    return {
        "summary": prediction.summary,
        "direct": [{"edge": key.text, "effect": effect} for key, effect in prediction.direct.items()],
        "exposed": dict(prediction.exposed),
        "unknown": list(prediction.unknown),
    }


def report_text(report: Mapping[str, Any]) -> Iterable[str]:
    """The lines of a report: limits, verdict, surprises, then every edge that is not `ok`."""
    yield from report["limits"]
    yield ""
    yield f"Verdict: {report['verdict']}"
    yield from (f"  {reason}" for reason in report["reasons"])
    for title, member in (
        ("Seen and not predicted", "surprises"),
        ("Predicted and seen", "predictedAndSeen"),
        ("Predicted and held", "predictedAndHeld"),
    ):
        if report[member]:
            yield f"{title}:"
            yield from (f"  {edge}" for edge in report[member])
    rows = [edge for edge in report["edges"] if edge["state"] != State.OK]
    yield f"Edges: {len(report['edges'])}, {len(report['edges']) - len(rows)} of them ok"
    for edge in rows:
        after = f", after it {edge['recovery']}" if edge["recovery"] else ""
        yield f"  {edge['state']}: {edge['edge']}{': ' + edge['reason'] if edge['reason'] else ''}{after}"
