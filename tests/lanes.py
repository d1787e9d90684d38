"""Which tests may run beside each other, by path: those of the machine in one process, the others in a second one.

Tests of the machine count its connects, its processes or its network, or have nodes. Those of them that bear a busy
machine best come first; windows of the cluster and scenarios, where all is counted, come when the second process has
ended, or nearly so. That one ends with the tests of a real API server, which take its time and hardly a processor.
"""

from xdist.scheduler import LoadScopeScheduling

FIRST = tuple(f"tests/{folder}/" for folder in ("chaos", "deploy", "demo", "golden", "lab"))
LAST = tuple(f"tests/{folder}/" for folder in ("cluster", "delegate"))
USERLAND = (
    *(
        f"tests/{folder}/"
        for folder in (
            "bench",
            "browser",
            "chaos/control",
            "chaos/probes",
            "chaos/runner",
            "cli",
            "cluster_api",
            "collector",
            "delivery",
            "deploy",
            "directory",
            "docs",
            "faults",
            "fuzz",
            "golden",
            "manager",
            "node_agent/attribution",
            "node_agent/preflight",
            "node_agent/replay",
            "podsonar",
            "soak",
        )
    ),
    *LAST,
)


def lane_of(nodeid: str) -> str:
    """Return the lane of a test by its path."""
    return "userland" if nodeid.startswith(USERLAND) else "machine"


def place_of(nodeid: str) -> int:
    """Return when a test's turn comes in its lane; those of one place keep the order of their paths."""
    return 0 if nodeid.startswith(FIRST) else 2 if nodeid.startswith(LAST) else 1


class LaneScheduling(LoadScopeScheduling):
    """One process per lane, each in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
