"""A map equals the truth only if it has every edge of the shop with its counts, and no other."""

from typing import Any

import pytest

from lab.real_cluster.installed.compare import attempts_by_address, differences, map_edges
from lab.real_cluster.installed.shop import ShopEdge, truth, workloads

SERVICES = [
    {"id": "d/frontend", "kind": "Workload", "namespace": "shop", "name": "frontend"},
    {"id": "j/report-1", "kind": "Workload", "namespace": "shop", "name": "report-29393211"},
    {"id": "j/report-2", "kind": "Workload", "namespace": "shop", "name": "report-29393212"},
    {"id": "s/cart", "kind": "Service", "namespace": "shop", "name": "cart"},
    {"id": "s/kubernetes", "kind": "Service", "namespace": "default", "name": "kubernetes"},
    {"id": "d/collector", "kind": "Workload", "namespace": "podsonar", "name": "collector"},
    {"id": "x", "kind": "External", "namespace": "", "name": "198.51.100.212"},
]
EXPECTED = [
    ShopEdge("frontend", "cart", 8080, 46, 46, 0),
    ShopEdge("frontend", "outside", 443, 6, 6, 0),
    ShopEdge("report", "cart", 8080, 17, 0, 17),
]


def edge(source: str, destination: str, port: str, *, attempts: int, failed: int = 0) -> dict[str, Any]:
    """An edge as the map's JSON has it."""
    counts = {"attempts": attempts, "established": attempts - failed, "failed": failed}
    return {"source": source, "destination": destination, "port": port, **counts}


RIGHT = [
    edge("d/frontend", "s/cart", "8080", attempts=46),
    edge("d/frontend", "x", "443", attempts=6),
    edge("j/report-1", "s/cart", "8080", attempts=7, failed=7),
    edge("j/report-2", "s/cart", "8080", attempts=10, failed=10),
]


def test_map_of_the_truth_has_no_difference() -> None:
    """A cron job's jobs are one source, addresses outside are the outside, edges of other namespaces are ignored."""
    other = edge("d/collector", "s/kubernetes", "443", attempts=5)
    assert differences(EXPECTED, {"services": SERVICES, "edges": [*RIGHT, other]}) == []


@pytest.mark.parametrize(
    ("edges", "sentence"),
    [
        (RIGHT[1:], "frontend → cart:8080: expected 46 attempts (46 established, 0 failed), the map shows nothing"),
        (
            [*RIGHT[1:], edge("d/frontend", "s/cart", "8080", attempts=45)],
            (
                "frontend → cart:8080: expected 46 attempts (46 established, 0 failed), "
                "the map shows 45 attempts (45 established, 0 failed)"
            ),
        ),
        (
            [*RIGHT, edge("s/cart", "x", "443", attempts=1)],
            "cart → outside:443: not made, the map shows 1 attempts (1 established, 0 failed)",
        ),
    ],
)
def test_every_difference_is_reported(edges: list[dict[str, Any]], sentence: str) -> None:
    """An edge that is missing, miscounted or not made is one sentence."""
    assert differences(EXPECTED, {"services": SERVICES, "edges": edges}) == [sentence]


def test_truth_of_a_window_is_count_times_pods() -> None:
    """On two nodes the watcher runs twice, on one once; what is refused has failed."""
    edges = {(one.source, one.target): one for one in truth(workloads(2))}
    assert edges["watcher", "cart"] == ShopEdge("watcher", "cart", 8080, 10, 10, 0)
    assert edges["frontend", "payments"] == ShopEdge("frontend", "payments", 9090, 14, 0, 14)
    assert next(one for one in truth(workloads(1)) if one.source == "watcher").attempts == 5


def test_edges_are_shown_once_a_pair_and_port() -> None:
    """Two jobs' edges to one service are one edge with the sum."""
    assert map_edges({"services": SERVICES, "edges": RIGHT})["report", "cart", 8080] == EXPECTED[2]


def test_pods_own_counts_are_summed_by_window() -> None:
    """Lines of other windows do not count."""
    lines = [
        {"window": "2026-01-01T00:01:00Z", "address": "cart:8080", "attempts": 23},
        {"window": "2026-01-01T00:01:00Z", "address": "cart:8080", "attempts": 23},
        {"window": "2026-01-01T00:02:00Z", "address": "cart:8080", "attempts": 23},
    ]
    assert attempts_by_address(lines, "2026-01-01T00:01:00Z") == {"cart:8080": 46}
