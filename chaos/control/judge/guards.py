"""Guards: rules that a planned fault must pass before anything is injected, each with one sentence. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from chaos.control.judge.edge_pattern import parse_edge
from chaos.control.judge.impact import Thresholds
from chaos.control.judge.observed_edges import Observation
from chaos.control.judge.prediction import PlannedFault, Prediction
from chaos.guard_settings import GuardSettings

Result = Literal["passed", "failed", "skipped"]

NETWORK_FAULTS = frozenset({"pod-network-loss", "pod-network-latency", "pod-network-partition"})


class Budget(msgspec.Struct, frozen=True, rename="camel"):
    """A PodDisruptionBudget of the target's pods: `status.disruptionsAllowed`."""

    name: str
    disruptions_allowed: int


@dataclass(frozen=True, slots=True)
class GuardInput:
    """What the guards judge; `budgets` is None where nobody read them.

    `namespaces` are those that the target names. `unresolved` is why nobody could look up the target, empty if it was
    found. `is_narrow` says that the fault's settings name a port or an address.
    """

    planned: PlannedFault
    duration_seconds: int
    prediction: Prediction
    seen: Observation
    settings: GuardSettings
    budgets: Sequence[Budget] | None = None
    namespaces: frozenset[str] = frozenset()
    unresolved: str = ""
    is_narrow: bool = False


@dataclass(frozen=True, slots=True)
class GuardResult:
    """A rule's result in one sentence."""

    rule: str
    result: Result
    sentence: str


def target_guard(one: GuardInput) -> tuple[Result, str]:
    """The target has pods, or is an edge that was observed."""
    if one.unresolved:
        return "failed", one.unresolved
    if one.planned.target.edge:
        edges = len(one.prediction.direct)
        return ("passed" if edges else "failed"), f"{edges} edges, at least 1 observed edge expected"
    pods = sum(vertex.pods for vertex in one.prediction.hit)
    return ("passed" if pods else "failed"), f"{pods} pods, at least 1 expected"


def exposed_guard(one: GuardInput) -> tuple[Result, str]:
    """No more services reach the target than allowed."""
    exposed, most = len(one.prediction.exposed), one.settings.max_exposed_services
    if most is None:
        return "skipped", "maxExposedServices is not set"
    return ("passed" if exposed <= most else "failed"), f"{exposed} services exposed, at most {most} allowed"


def pods_guard(one: GuardInput) -> tuple[Result, str]:
    """No larger share of the target's pods is hit than allowed."""
    share, most = one.planned.affected_percentage, one.settings.max_pods_percentage
    return ("passed" if share <= most else "failed"), f"{share} % of the pods, at most {most} % allowed"


def protected_guard(one: GuardInput) -> tuple[Result, str]:
    """Nothing in a protected namespace is hit."""
    protected = one.settings.protected_namespaces
    found = sorted((one.namespaces | {vertex.namespace for vertex in one.prediction.hit}) & set(protected))
    expected = f"expected a target outside {', '.join(protected)}"
    return ("failed", f"namespace {found[0]} is protected, {expected}") if found else ("passed", "none is hit")


def observed_guard(one: GuardInput) -> tuple[Result, str]:
    """The target and both ends of every direct edge were observed, and nothing was lost."""
    blind = [
        f"{node} {why}" for hit in one.prediction.hit for node in hit.nodes for why in one.seen.blind.get(node, ())
    ]
    blind = [*sorted(blind), *(reason for key in one.prediction.direct for reason in one.seen.blind_ends(key))]
    if not one.seen.windows:
        blind = ["no window before this was observed"]
    if not blind:
        return "passed", "the target and both ends of every direct edge were observed whole"
    text = f"{'; '.join(dict.fromkeys(blind))}: expected both ends of every direct edge observed whole, or allowBlind"
    return ("passed" if one.settings.allow_blind else "failed"), text


def healthy_guard(one: GuardInput) -> tuple[Result, str]:
    """Every direct edge was healthy before."""
    least = Thresholds().kept_ratio
    ratios = {key: one.seen.edges[key].ratio for key in one.prediction.direct}
    ill = [
        f"{key.text} {ratio:.1%} established" for key, ratio in ratios.items() if ratio is not None and ratio < least
    ]
    if ill:
        return "failed", f"{', '.join(ill)}: at least {least:.0%} before the fault expected"
    return ("passed", "every direct edge was healthy") if ratios else ("skipped", "no edge is touched")


def duration_guard(one: GuardInput) -> tuple[Result, str]:
    """The fault is short enough."""
    most = one.settings.max_duration_seconds
    return ("passed" if 0 < one.duration_seconds <= most else "failed"), f"{one.duration_seconds} s, at most {most} s"


def narrow_guard(one: GuardInput) -> tuple[Result, str]:
    """A network fault names a port or an address."""
    if one.planned.fault not in NETWORK_FAULTS:
        return "skipped", "no network fault of a whole pod"
    edge = one.planned.target.edge
    if one.is_narrow or (edge and parse_edge(edge, "target.edge").port != "*"):
        return "passed", "a port or an address is named"
    return (
        "passed" if one.settings.all_traffic else "failed"
    ), "no port or address is named: expected one, or allTraffic"


def budget_guard(one: GuardInput) -> tuple[Result, str]:
    """Every PodDisruptionBudget of the target allows a disruption."""
    if one.budgets is None:
        return "skipped", "the runner reads PodDisruptionBudgets before it injects"
    spent = [budget for budget in one.budgets if budget.disruptions_allowed < 1]
    text = f"{len(one.budgets)} budgets allow it"
    if spent:
        text = f"{spent[0].name} allows {spent[0].disruptions_allowed} disruptions, at least 1 expected"
    return ("failed" if spent else "passed"), text


RULES: Mapping[str, Callable[[GuardInput], tuple[Result, str]]] = {
    "target": target_guard,
    "exposed services": exposed_guard,
    "pods hit": pods_guard,
    "protected namespaces": protected_guard,
    "both ends observed": observed_guard,
    "healthy baseline": healthy_guard,
    "duration": duration_guard,
    "network fault is narrow": narrow_guard,
    "PodDisruptionBudget": budget_guard,
}


def check_guards(one: GuardInput) -> list[GuardResult]:
    """The result of every rule, in a fixed order."""
    return [GuardResult(rule, *check(one)) for rule, check in RULES.items()]


def governance(results: Sequence[GuardResult], started_ms: int, finished_ms: int) -> dict[str, object]:
    """The results as `securityGovernance` of a run, whose members are capitalised; times in milliseconds."""
    passed, failed, skipped = (
        [f"{one.rule}: {one.sentence}" for one in results if one.result == kind]
        for kind in ("passed", "failed", "skipped")
    )
    message = f"{len(failed)} rules failed" if failed else "All rules passed"
    return {
        "Name": "Evaluate Rules",
        "Type": "SGNode",
        "Message": message if results else "No rules apply to this experiment run",
        "Phase": "Failed" if failed else "Passed",
        "SecurityGovernanceNodeData": {"PassedRules": passed, "FailedRules": failed, "SkippedRules": skipped},
        "StartedAt": started_ms,
        "FinishedAt": finished_ms,
    }
