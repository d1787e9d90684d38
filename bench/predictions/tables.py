"""The recorded runs as Markdown: per run, per caller, and every difference with its cause. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.predictions.causes import UNEXPLAINED

Run = dict[str, Any]


def share(part: int, whole: int) -> str:
    """A ratio with two decimals; a dash where there is nothing to divide by."""
    return f"{part / whole:.2f}" if whole else "-"


def counted(edges: Iterable[dict[str, Any]]) -> tuple[int, int, int]:
    """Edges predicted, edges changed, edges that are both."""
    found = list(edges)
    predicted = [one for one in found if one["predicted"]]
    touched = [one for one in found if one["touched"]]
    return len(predicted), len(touched), sum(one["touched"] for one in predicted)


def edges_of(runs: Iterable[Run]) -> Iterator[dict[str, Any]]:
    """Every edge of every run."""
    for run in runs:
        yield from run["edges"]


def short(text: str) -> str:
    """A target without its namespaces and ports."""
    namespace, _, _ = text.partition("/")
    return text.replace(f"{namespace}/", "").replace("->", "→").replace(":8080", "").replace(":9090", "")


def run_rows(runs: Sequence[Run]) -> Iterator[str]:
    """A row per run."""
    yield "| run | fault | target | predicted | changed | both | seen besides | predicted only |"
    yield "|---|---|---|---|---|---|---|---|"
    for number, run in enumerate(runs, 1):
        predicted, touched, both = counted(run["edges"])
        percentage = "" if run["percentage"] == 100 else f", {run['percentage']} % of its pods"
        target = f"{run['target'].partition('/')[0]}: {short(run['target'])}{percentage}"
        misses = causes(one for one in run["edges"] if one["touched"] and not one["predicted"])
        surplus = causes(one for one in run["edges"] if one["predicted"] and not one["touched"])
        yield f"| {number} | `{run['fault']}` | {target} | {predicted} | {touched} | {both} | {misses} | {surplus} |"


def causes(edges: Iterable[dict[str, Any]]) -> str:
    """The causes of some edges, counted."""
    return ", ".join(f"{count} {cause}" for cause, count in Counter(one["cause"] for one in edges).items())


def caller_rows(runs: Sequence[Run]) -> Iterator[str]:
    """A row per caller, over all runs, and one for all."""
    yield "| caller | predicted | changed | both | precision | recall |"
    yield "|---|---|---|---|---|---|"
    everything = list(edges_of(runs))
    for caller in sorted({one["caller"] for one in everything if one["predicted"] or one["touched"]}):
        yield ratio_row(f"`{caller}`", [one for one in everything if one["caller"] == caller])
    yield ratio_row("all", everything)


def ratio_row(name: str, edges: Sequence[dict[str, Any]]) -> str:
    """Counts and both ratios of some edges."""
    predicted, touched, both = counted(edges)
    return f"| {name} | {predicted} | {touched} | {both} | {share(both, predicted)} | {share(both, touched)} |"


def difference_rows(runs: Sequence[Run]) -> Iterator[str]:
    """A row per edge and cause of what was seen otherwise than predicted, with the first run's evidence."""
    found: dict[tuple[str, str, str, str], list[tuple[int, str]]] = {}
    for number, run in enumerate(runs, 1):
        for one in run["edges"]:
            if one["cause"]:
                kind = "miss" if one["touched"] else "surplus"
                key = (kind, one["cause"], one["edge"], one["state"])
                found.setdefault(key, []).append((number, one["sentence"]))
    yield "| | cause | edge | state | runs | what was counted in the first of them |"
    yield "|---|---|---|---|---|---|"
    for (kind, cause, edge, state), cases in sorted(found.items()):
        numbers = ", ".join(str(number) for number, _ in cases)
        yield f"| {kind} | {cause} | {short(edge)} | {state} | {numbers} | {cases[0][1]} |"


def exposed_rows(runs: Sequence[Run]) -> Iterator[str]:
    """A row per service: in how many runs it was predicted to be hit or exposed, and in how many requests failed."""
    yield "| service | exposed | requests failed | both | precision | recall |"
    yield "|---|---|---|---|---|---|"
    predicted, harmed, both = Counter[str](), Counter[str](), Counter[str]()
    for run in runs:
        namespace = run["target"].partition("/")[0]
        named = {f"{namespace}/{one}" for one in run["exposed"]["predicted"]}
        failed = {f"{namespace}/{one}" for one in run["exposed"]["harmed"]}
        predicted.update(named)
        harmed.update(failed)
        both.update(named & failed)
    for name in sorted(predicted | harmed):
        yield exposed_row(f"`{name}`", predicted[name], harmed[name], both[name])
    yield exposed_row("all", predicted.total(), harmed.total(), both.total())


def exposed_row(name: str, predicted: int, harmed: int, both: int) -> str:
    """Counts and both ratios of a service."""
    return f"| {name} | {predicted} | {harmed} | {both} | {share(both, predicted)} | {share(both, harmed)} |"


def unexplained(runs: Sequence[Run]) -> list[str]:
    """What has no cause, and services whose requests failed though nothing said so; one line each."""
    found = []
    for number, run in enumerate(runs, 1):
        edges = [one for one in run["edges"] if one["cause"] == UNEXPLAINED]
        found += [f"run {number}: {one['edge']}: {one['sentence']}" for one in edges]
        for name, why in run["exposed"]["notPredicted"].items():
            if why["cause"] == UNEXPLAINED:
                found.append(f"run {number}: requests of {name} failed: {why['sentence']}")
    return found


def markdown(runs: Sequence[Run], machine: str) -> str:
    """Everything that is recorded."""
    predicted, touched, both = counted(edges_of(runs))
    unharmed = Counter(one["cause"] for run in runs for one in run["exposed"]["unharmed"].values())
    exact = sum(one["asPredicted"] for one in edges_of(runs))
    absorbed = ", ".join(f"{count} {cause}" for cause, count in sorted(unharmed.items()))
    unforeseen = [
        f"`{name}` in run {number} ({why['sentence']})"
        for number, run in enumerate(runs, 1)
        for name, why in run["exposed"]["notPredicted"].items()
    ]
    summary = (
        f"{len(runs)} runs, measured on: {machine}. Of {predicted} edges that were predicted to change, {both} did, "
        f"{exact} of them as predicted (precision {share(both, predicted)}); of {touched} edges that changed, {both} "
        f"had been predicted (recall {share(both, touched)})."
    )
    services = (
        "Services that were hit, called the target, or reach it, against those whose own programs counted failed "
        f"requests (exposed services without one: {absorbed}):"
    )
    blocks = [
        summary,
        "\n".join(run_rows(runs)),
        "Per caller, over all runs:",
        "\n".join(caller_rows(runs)),
        "Every difference. A *miss* changed and was not predicted, *surplus* was predicted and did not change:",
        "\n".join(difference_rows(runs)),
        services,
        "\n".join(exposed_rows(runs)),
        *(["Failed without having been exposed: " + "; ".join(unforeseen) + "."] if unforeseen else []),
    ]
    return "\n\n".join(blocks)
