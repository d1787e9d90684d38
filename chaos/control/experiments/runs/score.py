"""The resiliency score of a completed run, and how many of its faults passed. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from chaos.control.experiments.runs.events import Execution, Node

DEFAULT_WEIGHT = 10  # of 1 to 10


class Score(NamedTuple):
    """The score in percent, cut to two decimals, and the counts of the faults' verdicts."""

    resiliency_score: float = 0
    passed: int = 0
    failed: int = 0
    awaited: int = 0
    stopped: int = 0
    not_available: int = 0
    total: int = 0


def percentage_of(node: Node) -> int:
    """What a step is worth: its probes' share; without probes 100 for Pass, else 0."""
    data = node.chaos_data
    if data is None or node.phase == "Error" or data.experiment_verdict in {"Error", "", "Awaited"}:
        return 0
    if data.probe_success_percentage:
        return int(data.probe_success_percentage)
    return 100 if data.experiment_verdict == "Pass" else 0


def score_of(execution: Execution, weights: Mapping[str, int]) -> Score:
    """The score of a run whose steps have ended; `weights` by the step's name."""
    steps = list(execution.steps.values())
    verdicts = [node.chaos_data.experiment_verdict if node.chaos_data else "" for node in steps]
    weight = {node.name: weights.get(node.name, DEFAULT_WEIGHT) for node in steps}
    whole = sum(weight.values())
    hundredths = sum(100 * weight[node.name] * percentage_of(node) for node in steps) // whole if whole else 0
    score = hundredths / 100
    return Score(
        resiliency_score=int(score) if score.is_integer() else score,
        passed=verdicts.count("Pass"),
        failed=verdicts.count("Fail") + verdicts.count("Error"),
        awaited=verdicts.count("Awaited") + verdicts.count(""),
        stopped=verdicts.count("Stopped"),
        not_available=verdicts.count("N/A"),
        total=len(steps),
    )
