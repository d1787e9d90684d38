"""Backends behind a service are named only where one edge can be meant; else ends are compared in sums."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.join import Observers, join_ends
from manager.service_map.topology import build_topology
from tests.manager.service_map.observed_shop import BOTH_WATCHED, BY_SERVICE, DIRECT, EARLY, FACTS, LATE, TOPOLOGY
from tests.manager.shop import connection, taken

BY_LOAD = connection("load-1", "10.1.2.40", "10.96.0.11", 7000, service="cart", n=9)
BY_CART = connection("cart-1", "10.1.1.20", "10.96.0.11", 7000, service="cart", n=9)


@pytest.mark.parametrize(
    ("clients", "remote", "explained", "backends", "in_sums"),
    [
        pytest.param([BY_SERVICE], "192.0.2.1", 17, {"uid-cart-1": 13, "uid-cart-2": 4}, set(), id="one client"),
        pytest.param([BY_SERVICE, BY_CART], "192.0.2.1", 17, {}, {0, 1}, id="two clients, named for neither"),
        pytest.param([BY_SERVICE, BY_LOAD], "192.0.2.2", 9, {}, {1}, id="only of that node, and more than it made"),
        pytest.param([BY_LOAD], "192.0.2.1", 0, {}, set(), id="none of that node"),
    ],
)
def test_masqueraded_is_compared_in_sums_of_the_node_that_hid_the_client(
    clients: list[Any], remote: str, explained: int, backends: dict[str, int], in_sums: set[int]
) -> None:
    """A pod behind a node's address is named for a client only where no other client can have been meant."""
    taken_there = [taken("cart-1", "10.1.1.20", 8080, remote, 13), taken("cart-2", "10.1.2.20", 8080, remote, 4)]
    ends = [("node-a", msgspec.convert(one, AcceptedRecord)) for one in taken_there]
    join, _opened = join_ends(
        [msgspec.convert(one, ConnectionRecord) for one in clients],
        ends,
        TOPOLOGY,
        Observers(frozenset({"node-a", "node-b"})),
    )
    assert join.recall.explained == explained
    assert sum(join.backends.values(), Counter()) == Counter(backends)
    assert join.in_sums == in_sums
    assert join.recall.accepted + join.recall.not_comparable.total() == 17


TAKEN_BY_TWO = [taken("db-1", "10.1.2.20", 8080, "10.1.1.10", 4), taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 35)]


@pytest.mark.parametrize(
    ("clients", "accepted", "backends", "in_sums"),
    [
        pytest.param([EARLY, LATE], TAKEN_BY_TWO, {}, {0, 1}, id="two pods had the client's address"),
        pytest.param(
            [
                connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=4),
                connection("frontend-1", "10.1.1.10", "10.1.1.20", 8080, pod="cart-1", n=5),
            ],
            [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 9)],
            {"uid-cart-1": 9},
            set(),
            id="the pod itself and its service: the address tells them apart",
        ),
        pytest.param(
            [
                connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=4),
                connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=5),
            ],
            [taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 9)],
            {"uid-cart-1": 9},
            set(),
            id="two records of one edge",
        ),
    ],
)
def test_backend_is_named_only_where_one_edge_can_be_meant(
    clients: list[Any], accepted: list[Any], backends: dict[str, int], in_sums: set[int]
) -> None:
    """An address that went from one client to another is compared in sums; all of it is explained all the same."""
    join, _opened = join_ends(
        [msgspec.convert(one, ConnectionRecord) for one in clients],
        [("node-b", msgspec.convert(one, AcceptedRecord)) for one in accepted],
        TOPOLOGY,
        BOTH_WATCHED,
    )
    assert sum(join.backends.values(), Counter()) == Counter(backends)
    assert join.in_sums == in_sums
    assert join.recall.value == 1.0


def test_clients_address_that_two_pods_had_is_sure_only_where_all_was_watched() -> None:
    """A pod that nobody observed may have made what was accepted: then no backend is named for the other."""
    pods = [{**pod, "ips": ["10.1.1.10"]} if pod["name"] in ("frontend-1", "load-1") else pod for pod in FACTS["Pod"]]
    topology = build_topology({**FACTS, "Pod": pods})
    ends = [("node-b", msgspec.convert(one, AcceptedRecord)) for one in TAKEN_BY_TWO]
    late = [msgspec.convert(LATE, ConnectionRecord)]
    nodes_in_state, _opened = join_ends(late, ends, topology, BOTH_WATCHED)
    in_part, _opened = join_ends(late, ends, topology, Observers(frozenset({"node-b"}), part=frozenset({"node-a"})))
    assert sum(nodes_in_state.backends.values(), Counter()).total() == 35
    assert (sum(in_part.backends.values(), Counter()), in_part.in_sums) == (Counter(), {0})


def test_host_network_client_behind_the_bridge_address_is_marked_in_sums() -> None:
    """On its way to a pod of its own node it gets an address of the pods' range, which an unlisted pod may have had."""
    client = connection("watcher-1", "192.0.2.1", "10.96.0.11", 7000, service="cart", n=5)
    ends = [("node-a", msgspec.convert(taken("cart-1", "10.1.1.20", 8080, "10.1.1.1", 3), AcceptedRecord))]
    join, _opened = join_ends([msgspec.convert(client, ConnectionRecord)], ends, TOPOLOGY, BOTH_WATCHED)
    assert (join.backends, join.in_sums) == ({}, {0})
    assert (join.recall.accepted, dict(join.recall.not_comparable)) == (0, {"remote_pod_not_observed": 3})


def test_host_networks_client_shares_its_address_with_the_pods_that_its_node_hides() -> None:
    """What came from the node's address is of either, so that no backend is named for one of them."""
    watcher = connection("watcher-1", "192.0.2.1", "10.96.0.11", 7000, service="cart", n=5)
    took = [taken("cart-1", "10.1.1.20", 8080, "192.0.2.1", 14), taken("cart-2", "10.1.2.20", 8080, "192.0.2.1", 14)]
    join, _opened = join_ends(
        [msgspec.convert(one, ConnectionRecord) for one in (watcher, BY_SERVICE)],
        [("node-b", msgspec.convert(one, AcceptedRecord)) for one in took],
        TOPOLOGY,
        BOTH_WATCHED,
    )
    assert (join.backends, join.in_sums, join.recall.value) == ({}, {0, 1}, 1.0)


def test_masqueraded_dial_of_a_pods_own_address_is_explained() -> None:
    """Without a service there is but one pod that it can have reached."""
    ends = [("node-b", msgspec.convert(taken("cart-1", "10.1.1.20", 8080, "192.0.2.1", 5), AcceptedRecord))]
    join, _opened = join_ends([msgspec.convert(DIRECT, ConnectionRecord)], ends, TOPOLOGY, BOTH_WATCHED)
    assert (join.backends, join.recall.value) == ({0: Counter({"uid-cart-1": 5})}, 1.0)
