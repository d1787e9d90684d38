"""Which tests may run beside each other, by path: those of the machine in one process, the others in a second one.

Tests of the machine count its connects, its processes or its network, or they are of the cluster. Those of them that
bear a busy machine come first, since the second process ends meanwhile; windows of the cluster and scenarios, where all
is counted, come later.
"""

from xdist.scheduler import LoadScopeScheduling

FIRST = tuple(f"tests/{folder}/" for folder in ("chaos", "cluster", "delegate", "deploy", "demo", "golden", "lab"))
USERLAND = tuple(
    f"tests/{folder}/"
    for folder in (
        "browser",
        "chaos/control",
        "chaos/probes",
        "cli",
        "cluster_api",
        "collector",
        "delivery",
        "directory",
        "docs",
        "faults",
        "fuzz",
        "manager",
        "podsonar",
        "soak",
    )
)


def lane_of(nodeid: str) -> str:
    """Return the lane of a test by its path."""
    return "userland" if nodeid.startswith(USERLAND) else "machine"


class LaneScheduling(LoadScopeScheduling):
    """One process per lane, each in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
