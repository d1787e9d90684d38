"""manager/service_map/ambiguous_destinations.py: an address that changed hands is attributed to its only acceptor."""

from typing import Any

import msgspec
import pytest

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.ambiguous_destinations import resolve_ambiguous
from tests.manager.service_map.observed_shop import EARLY, LATE, TOPOLOGY
from tests.manager.shop import connection, taken

AMBIGUOUS = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=4)


@pytest.mark.parametrize(
    ("accepted", "resolved"),
    [
        ([taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 4)], {0: "uid-cart-2"}),
        (
            [taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 2), taken("db-1", "10.1.2.20", 8080, "10.1.1.10", 2)],
            {},
        ),
        ([taken("cart-2", "10.1.2.20", 8081, "10.1.1.10", 4)], {}),
        ([taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 3)], {}),
        ([], {}),
    ],
)
def test_ambiguous_destination_is_resolved_by_a_single_accepting_pod_only(
    accepted: list[Any], resolved: dict[int, str]
) -> None:
    """An address that changed hands is attributed only if exactly one pod took the connections, and all of them."""
    ends = [("node-b", msgspec.convert(one, AcceptedRecord)) for one in accepted]
    assert resolve_ambiguous([msgspec.convert(AMBIGUOUS, ConnectionRecord)], ends, TOPOLOGY) == resolved


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(
            connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=4, failed=1),
            id="one failed, perhaps refused by the next owner",
        ),
        pytest.param(
            connection("frontend-1", "192.0.2.1", "10.1.2.20", 8080, kind="Ambiguous", n=4),
            id="from a node's address, which others were given on the way",
        ),
    ],
)
def test_ambiguous_destination_with_attempts_of_unknown_outcome_stays_ambiguous(client: dict[str, Any]) -> None:
    """A connection that one pod accepted proves nothing about an attempt that was meant for another owner."""
    took = taken("cart-2", "10.1.2.20", 8080, client["sourceIP"], 4)
    assert (
        resolve_ambiguous(
            [msgspec.convert(client, ConnectionRecord)], [("node-b", msgspec.convert(took, AcceptedRecord))], TOPOLOGY
        )
        == {}
    )


def test_ambiguous_destination_of_two_pods_with_one_address_stays_ambiguous() -> None:
    """Whose connections the one pod took is not known."""
    ends = [("node-b", msgspec.convert(taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 4), AcceptedRecord))]
    both = [
        msgspec.convert(EARLY, ConnectionRecord),
        msgspec.convert({**LATE, "attempts": 4, "established": 4}, ConnectionRecord),
    ]
    assert resolve_ambiguous(both, ends, TOPOLOGY) == {}
