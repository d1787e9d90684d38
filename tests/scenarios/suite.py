"""All scenarios, and the windows that they share."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tests.scenarios.judge import judge
from tests.scenarios.rows import (
    both_ends,
    datapath,
    foreign_networks,
    held,
    hierarchy,
    identity,
    lifecycle,
    outcomes,
    selection,
)
from tests.scenarios.run import CONDITIONS, Observed, run
from tests.scenarios.table import Scenario

MAX_RERUNS = 2
THEMES = (datapath, outcomes, identity, lifecycle, selection, hierarchy, both_ends, foreign_networks, held)
SCENARIOS: dict[str, Scenario] = {one.name: one for theme in THEMES for one in theme.SCENARIOS}


def observe(names: Iterable[str]) -> dict[str, Observed]:
    """Return the observations of these scenarios, as far as they prove anything.

    An outcome in a timer's interrupt (nobody answers) may find the program at work on that CPU: then the kernel skips
    its run, and says so. On some machines it runs no program in an interrupt of a process of its own, and does not say
    so: there its count of failed attempts is the witness (docs/decisions/0014). A window that it disturbed is no
    observation: what differs is run again, without the rest, and the last one stands.
    """
    found = observe_once(names)
    for _ in range(MAX_RERUNS):
        again = [name for name in disturbed(found) if judge(found[name])]
        if not again:
            break
        found |= observe_once(again)
    return found


class Runs(Protocol):
    """Runs of the program that the kernel skipped, and those of which only its count of failures says so."""

    @property
    def skipped(self) -> int:
        """Of the whole node."""

    @property
    def unshown(self) -> int:
        """Of the scenario."""


def disturbed(found: Mapping[str, Runs]) -> list[str]:
    """Return the scenarios of the windows in which a run was skipped: the node's counters are of all that share one."""
    windows = {SCENARIOS[name].window for name, one in found.items() if one.skipped or one.unshown}
    return [name for name in found if SCENARIOS[name].window in windows]


def observe_once(names: Iterable[str]) -> dict[str, Observed]:
    """What came of these scenarios; those of one window are run together."""
    groups: dict[str, list[Scenario]] = {}
    for name in names:
        groups.setdefault(SCENARIOS[name].window, []).append(SCENARIOS[name])
    found: dict[str, Observed] = {}
    for window, group in groups.items():
        found.update({one.cast.scenario.name: one for one in run(group, CONDITIONS[window])})
    return found
