"""manager/join.py: both ends compared, as (client records, accepted records) -> recall."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from manager.facts import facts_of
from manager.join import Observers, join_ends, settle
from manager.topology import build_topology
from manager.wire import INVENTORY_LISTS, Accepted, Connection
from tests.manager.shop import LISTS, connection, taken

FACTS = {kind: [facts_of(kind, item) for item in LISTS.get(key, [])] for key, kind in INVENTORY_LISTS.items()}
TOPOLOGY = build_topology(FACTS)

WATCHED = Observers(frozenset({"node-a"}), own_pods=frozenset({"uid-cart-2"}))

BOTH_WATCHED = Observers(frozenset({"node-a", "node-b"}))

BY_SERVICE = connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=23)
DIRECT = connection("frontend-1", "10.1.1.10", "10.1.1.20", 8080, pod="cart-1", n=5)


@pytest.mark.parametrize(
    ("clients", "accepted", "recall", "uncompared"),
    [
        pytest.param([], [], (0, 0), {}, id="nothing"),
        pytest.param([DIRECT], [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 5)], (5, 5), {}, id="same address"),
        pytest.param(
            [BY_SERVICE],
            [
                taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 13),
                taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 10),
            ],
            (23, 23),
            {},
            id="service with two backends",
        ),
        pytest.param(
            [BY_SERVICE], [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 30)], (30, 23), {}, id="more than dialled"
        ),
        pytest.param([BY_SERVICE], [taken("cart-1", "10.1.1.20", 9999, "10.1.1.10", 3)], (3, 0), {}, id="another port"),
        pytest.param([BY_SERVICE], [taken("db-1", "10.1.2.30", 8080, "10.1.1.10", 3)], (3, 0), {}, id="another pod"),
        pytest.param(
            [BY_SERVICE],
            [taken("cart-1", "10.1.1.20", 8080, "192.0.2.1", 25)],
            (23, 23),
            {"remote_is_a_node": 2},
            id="masqueraded, in sums",
        ),
        pytest.param(
            [],
            [taken("cart-1", "10.1.1.20", 8080, "192.0.2.2", 3)],
            (0, 0),
            {"remote_is_a_node": 3},
            id="kubelet's probes",
        ),
        pytest.param(
            [],
            [taken("cart-1", "10.1.1.20", 8080, "198.51.100.7", 3)],
            (0, 0),
            {"remote_outside_cluster": 3},
            id="from outside",
        ),
        pytest.param(
            [],
            [taken("cart-1", "10.1.1.20", 8080, "10.1.2.99", 3)],
            (0, 0),
            {"remote_pod_not_observed": 3},
            id="pod in no inventory",
        ),
        pytest.param(
            [],
            [taken("cart-1", "10.1.1.20", 8080, "10.1.2.40", 3)],
            (0, 0),
            {"node_without_agent": 3},
            id="client's node has no agent",
        ),
        pytest.param(
            [], [taken("cart-1", "10.1.1.20", 8080, "10.1.2.20", 3)], (0, 0), {"own_traffic": 3}, id="an agent's push"
        ),
        pytest.param(
            [], [taken("cart-1", "10.1.1.20", 8080, "127.0.0.1", 3)], (0, 0), {"loopback": 3}, id="within the pod"
        ),
    ],
)
def test_accepted_is_explained_counted_or_named(
    clients: list[Any], accepted: list[Any], recall: tuple[int, int], uncompared: dict[str, int]
) -> None:
    """Each accepted connection is explained, or missing, or named as not comparable; none twice, none silently."""
    ends = [("node-a", msgspec.convert(one, Accepted)) for one in accepted]
    join = join_ends([msgspec.convert(one, Connection) for one in clients], ends, TOPOLOGY, WATCHED)
    assert (join.recall.accepted, join.recall.explained) == recall
    assert dict(join.recall.not_comparable) == uncompared
    seen = sum(one["accepted"] for one in accepted)
    assert join.recall.accepted + join.recall.not_comparable.total() == seen
    assert sum(counts.total() for counts in join.backends.values()) == join.recall.explained


BY_LOAD = connection("load-1", "10.1.2.40", "10.96.0.11", 7000, service="cart", n=9)
BY_CART = connection("cart-1", "10.1.1.20", "10.96.0.11", 7000, service="cart", n=9)


@pytest.mark.parametrize(
    ("clients", "remote", "explained", "backends", "in_sums"),
    [
        pytest.param([BY_SERVICE], "192.0.2.1", 17, {"uid-cart-1": 13, "uid-cart-2": 4}, set(), id="one client"),
        pytest.param([BY_SERVICE, BY_CART], "192.0.2.1", 17, {}, {0, 1}, id="two clients, named for neither"),
        pytest.param([BY_SERVICE, BY_LOAD], "192.0.2.2", 9, {"uid-cart-1": 9}, set(), id="only of that node"),
        pytest.param([BY_LOAD], "192.0.2.1", 0, {}, set(), id="none of that node"),
    ],
)
def test_masqueraded_is_compared_in_sums_of_the_node_that_hid_the_client(
    clients: list[Any], remote: str, explained: int, backends: dict[str, int], in_sums: set[int]
) -> None:
    """A pod behind a node's address is named for a client only where no other client can have been meant."""
    taken_there = [taken("cart-1", "10.1.1.20", 8080, remote, 13), taken("cart-2", "10.1.2.20", 8080, remote, 4)]
    ends = [("node-a", msgspec.convert(one, Accepted)) for one in taken_there]
    join = join_ends(
        [msgspec.convert(one, Connection) for one in clients],
        ends,
        TOPOLOGY,
        Observers(frozenset({"node-a", "node-b"})),
    )
    assert join.recall.explained == explained
    assert sum(join.backends.values(), Counter()) == Counter(backends)
    assert join.in_sums == in_sums
    assert join.recall.accepted + join.recall.not_comparable.total() == 17


AMBIGUOUS = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=4)


@pytest.mark.parametrize(
    ("accepted", "settled"),
    [
        ([taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 4)], {0: "uid-cart-2"}),
        (
            [taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 2), taken("db-1", "10.1.2.20", 8080, "10.1.1.10", 2)],
            {},
        ),
        ([taken("cart-2", "10.1.2.20", 8081, "10.1.1.10", 4)], {}),
        ([], {}),
    ],
)
def test_ambiguous_destination_is_settled_by_one_taker_only(accepted: list[Any], settled: dict[int, str]) -> None:
    """An address that changed hands is attributed only if exactly one pod took the connections."""
    ends = [("node-b", msgspec.convert(one, Accepted)) for one in accepted]
    assert settle([msgspec.convert(AMBIGUOUS, Connection)], ends) == settled
