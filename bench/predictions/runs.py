"""Takes the runs of a site: a baseline, a fault, and what both windows' maps say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bench.predictions.comparison import compare
from bench.predictions.injected import injected
from bench.predictions.site import NotDeliveredError, Seen, Site
from chaos.control.judge.observed_edges import blind_nodes
from chaos.control.judge.prediction import PlannedFault
from podsonar.errors import PodsonarError

SETTLE_SECONDS = 1.5
MOST_BASELINES = 4
ROUNDS = 3
KEPT = ("window", "services", "edges", "coverage", "observation", "aggregated")


class Taken(NamedTuple):
    """The windows of one run, the packets or connects that the fault hit, and why the run does not count, if so."""

    planned: PlannedFault
    baseline: Seen
    fault: Seen
    hits: int
    invalid: str


def quiet_baseline(site: Site) -> Seen:
    """A window in which no request failed; PodsonarError if there is none among the next few."""
    for _ in range(MOST_BASELINES):
        seen = site.observe(SETTLE_SECONDS)
        failed = {name: counts["failed"] for name, counts in seen.counts.items() if counts.get("failed")}
        if not failed:
            return seen
    raise PodsonarError(f"requests fail without a fault: {failed}, expected none in a baseline")


def take(site: Site, planned: PlannedFault, baseline: Seen | None = None) -> Taken:
    """One run; it takes its own baseline unless one is given."""
    before = baseline or quiet_baseline(site)
    with injected(site, planned) as made:
        seen = site.observe(SETTLE_SECONDS, made.beat)
    invalid = "" if made.held_throughout else f"the fault ended by itself: {made.ended_by}"
    return Taken(planned, before, seen, made.hits, invalid or ("" if made.hits else "the fault hit nothing"))


def recorded(site: Site, one: Taken) -> dict[str, Any]:
    """A run as it is kept: both maps, both counts, and why it does not count, if so: a window not observed whole."""
    try:
        maps = [site.map_of(seen.window) for seen in (one.baseline, one.fault)]
    except NotDeliveredError as error:
        return {"invalid": str(error)}
    blind = [f"{node} {reason}" for found in maps for node, reasons in blind_nodes(found).items() for reason in reasons]
    return {
        "planned": msgspec.to_builtins(one.planned),
        "maps": [{name: found[name] for name in KEPT if name in found} for found in maps],
        "programs": [one.baseline.counts, one.fault.counts],
        "hits": one.hits,
        "invalid": one.invalid or "; ".join(blind),
    }


def compared(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison of a run that was kept."""
    planned = msgspec.convert(kept["planned"], PlannedFault)
    return compare(planned, (kept["maps"][0], kept["maps"][1]), (kept["programs"][0], kept["programs"][1]))


def take_all(site: Site, faults: Sequence[PlannedFault], say: Callable[[str], object]) -> list[dict[str, Any]]:
    """Every fault in one valid run, as it is kept; those whose windows do not count are taken again, twice at most."""
    kept: dict[int, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        taken = {}
        for number, planned in enumerate(faults):
            if number not in kept:
                taken[number] = take(site, planned)
                say(f"{planned.fault} {planned.target.edge or planned.target.workload}: {taken[number].hits} hit")
        for number, one in taken.items():
            result = recorded(site, one)
            if result["invalid"]:
                say(f"run {number} does not count: {result['invalid']}")
            else:
                kept[number] = result
    missing = [faults[number].target for number in range(len(faults)) if number not in kept]
    if missing:
        raise PodsonarError(f"{len(missing)} runs were never observed whole: {missing}")
    return [kept[number] for number in sorted(kept)]
