"""An absent edge is a statement only where every connect would have been seen."""

from typing import Any

import pytest

from manager.history.edges.absence import NOT_OBSERVED, WOULD_HAVE_BEEN, Absence

WHOLE = {"observed": "whole", "reason": None}
SERVICES = [
    {"id": "service/shop/web", "kind": "Service", "nodes": ["node-a"]},
    {"id": "service/shop/cart", "kind": "Service", "nodes": ["node-b"]},
]
SCANNER = {"kind": "Pod", "uid": "uid-1", "namespace": "lab", "name": "scanner"}
SUM = {"pod": SCANNER, "end": "source", "ports": "1024-49151", "attempts": 97}


def verdict(**counts: Any) -> tuple[str, list[str]]:
    """What the absence of web → cart means if node-a reports these counts."""
    coverage = {"node-a": WHOLE, "node-b": WHOLE}
    return Absence(SERVICES, coverage, {"node-a": counts}).verdict("service/shop/web", "service/shop/cart")


def test_nodes_that_saw_everything_prove_the_absence() -> None:
    """Nothing was lost and nothing was summed."""
    assert verdict(lost={}, filtered={"source_not_a_pod": 9}) == (WOULD_HAVE_BEEN, [])


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"lost": {"flows_full": 3}}, "node node-a lost 3 connects"),
        (
            {"filtered": {"scan": 97}, "scan": [SUM, {**SUM, "ports": "0-1023"}]},
            "node node-a knows 97 connects in sums only: lab/scanner",
        ),
    ],
)
def test_node_that_knows_less_proves_nothing(counts: dict[str, Any], reason: str) -> None:
    """The reason has the number, and names the pods that scan."""
    assert verdict(**counts) == (NOT_OBSERVED, [reason])


def test_sums_of_accepted_connections_leave_the_proof_as_it_is() -> None:
    """Edges come from the connecting end."""
    assert verdict(filtered={}, scan=[{**SUM, "end": "destination"}]) == (WOULD_HAVE_BEEN, [])
