"""A difference between prediction and observation gets a cause only where its evidence was counted."""

from typing import Any

import pytest

from bench.predictions.causes import UNEXPLAINED, Caller, why_held, why_missed, why_unforeseen, why_unharmed
from bench.predictions.planned import SHOP_FAULTS, TRAVEL_FAULTS
from bench.predictions.tables import markdown, unexplained
from chaos.control.judge.impact import Impact, State
from chaos.control.judge.observed_edges import EdgeCounts, EdgeKey
from chaos.control.judge.prediction import FAULTS

KEY = EdgeKey("service/n/a", "service/n/b", "80")


def impact(state: State, before: int = 20, then: int = 20, *, opened_before: bool = False) -> Impact:
    """An edge with so many connects."""
    counts = [EdgeCounts(attempts=one, established=one, opened_before=opened_before) for one in (before, then)]
    return Impact(KEY, state, "", counts[0], counts[1])


def caller(then: dict[str, int], before: dict[str, int] | None = None, **volumes: Any) -> Caller:
    """The caller `a` of `b` with its counts."""
    return Caller(
        "a", "b", before or {"served": 20}, then, volumes.get("bytes_before", {}), volumes.get("bytes_then", {})
    )


@pytest.mark.parametrize(
    ("state", "then", "before", "cause"),
    [
        (State.NEW, {"b fallbacks": 20, "c failed": 20}, {}, "hidden fallback"),
        (State.NEW, {"served": 20}, {"served": 0}, "behind a fallback"),
        (State.NEW, {"b connects": 4}, {"served": 20, "b calls": 20}, "behind a pool"),
        (State.NEW, {"b connects": 4}, {"served": 20, "b calls": 20, "b connects": 20}, UNEXPLAINED),
        (State.NEW, {"served": 20}, {"served": 20}, UNEXPLAINED),
        (State.SURGING, {"b retries": 40}, {}, "retry storm"),
        (State.SURGING, {"served": 60}, {"served": 20}, "behind a retry storm"),
        (State.SURGING, {"served": 21}, {"served": 20}, UNEXPLAINED),
        (State.SILENT, {"b skipped": 20, "c failed": 20}, {}, "hard dependency"),
        (State.SILENT, {}, {"served": 20}, "behind a hard dependency"),
        (State.SILENT, {"served": 20}, {"served": 20}, UNEXPLAINED),
        (State.SILENT, {"b calls": 20}, {"served": 20}, UNEXPLAINED),
        (State.BROKEN, {"b retries": 40, "b skipped": 3, "b fallbacks": 2}, {}, UNEXPLAINED),
        (State.DEGRADED, {"b failed": 4}, {}, UNEXPLAINED),
    ],
)
def test_miss_has_a_cause_only_with_its_evidence(
    state: State, then: dict[str, int], before: dict[str, int], cause: str
) -> None:
    """Retries, fallbacks, skipped calls and the caller's own requests; nothing explains an unforeseen break."""
    assert why_missed(impact(state), caller(then, before))[0] == cause


def test_pool_is_named_only_where_calls_were_made_without_a_connect() -> None:
    """Calls on a connection that stayed open; the sentence has its bytes."""
    pooled = impact(State.NOT_EXERCISED, 0, 0, opened_before=True)
    bytes_of = {"bytes_before": {"receivedBytes": 120}, "bytes_then": {"receivedBytes": 0, "retransmittedSegments": 3}}
    cause, sentence = why_held(pooled, caller({"b calls": 20, "b failed": 20}, **bytes_of), share_hit=False)
    assert cause == "pool"
    assert "20 of 20 calls failed" in sentence
    assert "received 120 bytes before, 0 then, 3 segments" in sentence
    assert why_held(pooled, caller({"b calls": 20, "b connects": 4}), share_hit=False)[0] == UNEXPLAINED


def test_edge_that_held_is_explained_by_other_pods_only_if_not_all_were_hit() -> None:
    """A whole workload that was hit and whose edge held is a difference without a cause."""
    held = impact(State.OK, 20, 10)
    assert why_held(held, caller({}), share_hit=True)[0] == "other pods"
    assert why_held(held, caller({}), share_hit=False)[0] == UNEXPLAINED
    assert why_held(impact(State.ALREADY_BROKEN), caller({}), share_hit=False)[0] == "broken before"


def test_exposed_service_absorbs_or_is_not_reached() -> None:
    """By whether one of its own calls failed."""
    assert why_unharmed({"served": 20, "b failed": 20})[0] == "absorbed"
    assert why_unharmed({"served": 20})[0] == "not reached"


def test_harmed_service_that_was_not_exposed_needs_a_pool_that_the_baseline_left_out() -> None:
    """Calls without a connect, and open connections in no edge of the map: both, or no cause."""
    assert why_unforeseen({"b calls": 20}, 1)[0] == "pool left out"
    assert why_unforeseen({"b calls": 20}, 0)[0] == UNEXPLAINED
    assert why_unforeseen({"b calls": 20, "b connects": 20}, 1)[0] == UNEXPLAINED


def run_with(*edges: dict[str, Any], **exposed: Any) -> dict[str, Any]:
    """A run with some edges."""
    usual = {"caller": "n/a", "edge": KEY.text, "state": "ok", "asPredicted": False, "cause": "", "sentence": ""}
    return {
        "fault": "edge-partition",
        "target": KEY.text,
        "percentage": 100,
        "edges": [usual | one for one in edges],
        "exposed": {"predicted": ["a"], "harmed": [], "notPredicted": {}, "unharmed": {}} | exposed,
    }


def test_ratios_are_of_predicted_and_of_changed_edges() -> None:
    """Two predicted, three changed, one of them both: precision 1/2, recall 1/3, and no cause is no silence."""
    runs = [
        run_with(
            {"predicted": "breaks", "touched": True, "asPredicted": True},
            {"predicted": "breaks", "touched": False, "cause": "pool"},
            {"predicted": None, "touched": True, "cause": "retry storm"},
            {"predicted": None, "touched": True, "cause": UNEXPLAINED},
            notPredicted={"z": {"cause": UNEXPLAINED, "sentence": "why"}},
        )
    ]
    text = markdown(runs, "a machine")
    assert "| `n/a` | 2 | 3 | 1 | 0.50 | 0.33 |" in text
    assert "1 retry storm, 1 not explained | 1 pool |" in text
    assert unexplained(runs) == [f"run 1: {KEY.text}: ", "run 1: requests of z failed: why"]


def test_recorded_runs_are_thirty_at_least_and_of_faults_that_are_planned() -> None:
    """Every kind of network fault and a kill, on both applications."""
    planned = [*SHOP_FAULTS, *TRAVEL_FAULTS]
    assert len(planned) >= 30
    assert {one.fault for one in planned} <= set(FAULTS)
    for faults in (SHOP_FAULTS, TRAVEL_FAULTS):
        assert len({one.fault for one in faults}) >= 6
