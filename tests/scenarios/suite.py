"""All scenarios, and the windows that they share."""

from collections.abc import Iterable

from tests.scenarios import both_ends, datapath, hierarchy, identity, lifecycle, outcomes, selection
from tests.scenarios.run import CONDITIONS, Observed, run
from tests.scenarios.table import Scenario

THEMES = (datapath, outcomes, identity, lifecycle, selection, hierarchy, both_ends)
SCENARIOS: dict[str, Scenario] = {one.name: one for theme in THEMES for one in theme.SCENARIOS}


def observed(names: Iterable[str]) -> dict[str, Observed]:
    """What came of these scenarios; those of one window are run together."""
    groups: dict[str, list[Scenario]] = {}
    for name in names:
        groups.setdefault(SCENARIOS[name].window, []).append(SCENARIOS[name])
    found: dict[str, Observed] = {}
    for window, group in groups.items():
        found.update({one.cast.scenario.name: one for one in run(group, CONDITIONS[window])})
    return found
