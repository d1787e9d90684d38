"""manager/service_map/join.py: both ends compared, as (client records, accepted records) -> recall."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from manager.schema.push_schema import INVENTORY_LISTS
from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.ambiguous_destinations import resolve_ambiguous
from manager.service_map.join import Observers, join_ends
from manager.service_map.topology import build_topology
from manager.store.batches.object_summary import summarize_object
from tests.manager.shop import LISTS, connection, pod, taken

FACTS = {kind: [summarize_object(kind, item) for item in LISTS.get(key, [])] for key, kind in INVENTORY_LISTS.items()}
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
    ends = [("node-a", msgspec.convert(one, AcceptedRecord)) for one in accepted]
    join, _opened = join_ends([msgspec.convert(one, ConnectionRecord) for one in clients], ends, TOPOLOGY, WATCHED)
    assert (join.recall.accepted, join.recall.explained) == recall
    assert dict(join.recall.not_comparable) == uncompared
    seen = sum(one["accepted"] for one in accepted)
    assert join.recall.accepted + join.recall.not_comparable.total() == seen
    named = sum(counts.total() for counts in join.backends.values())
    assert named == (0 if join.in_sums else join.recall.explained)


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


EARLY = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=4)
LATE = connection("load-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=35)
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


def test_ambiguous_destination_of_two_pods_with_one_address_stays_ambiguous() -> None:
    """Whose connections the one pod took is not known."""
    ends = [("node-b", msgspec.convert(taken("cart-2", "10.1.2.20", 8080, "10.1.1.10", 4), AcceptedRecord))]
    both = [
        msgspec.convert(EARLY, ConnectionRecord),
        msgspec.convert({**LATE, "attempts": 4, "established": 4}, ConnectionRecord),
    ]
    assert resolve_ambiguous(both, ends, TOPOLOGY) == {}


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


HOST_PORT_POD = pod("edge-1", "10.1.2.50", "node-b", "edge")
HOST_PORT_POD["spec"]["containers"] = [{"ports": [{"name": "web", "containerPort": 8443, "hostPort": 443}]}]
WITH_HOST_PORT = build_topology(
    {**FACTS, "Pod": [*FACTS["Pod"], summarize_object("Pod", HOST_PORT_POD)]},
)


@pytest.mark.parametrize(
    ("client", "accepted"),
    [
        pytest.param(
            connection("frontend-1", "10.1.1.10", "192.0.2.2", 443, kind="Node", n=5),
            taken("edge-1", "10.1.2.50", 8443, "10.1.1.10", 5),
            id="host port, dialled as the node's",
        ),
        pytest.param(
            connection("frontend-1", "10.1.1.10", "192.0.2.2", 443, pod="edge-1", n=5),
            taken("edge-1", "10.1.2.50", 8443, "10.1.1.10", 5),
            id="host port, resolved to its pod",
        ),
        pytest.param(
            connection("frontend-1", "10.1.1.10", "192.0.2.2", 443, kind="Node", n=5),
            taken("edge-1", "10.1.2.50", 8443, "192.0.2.1", 5),
            id="host port, masqueraded by the client's node",
        ),
        pytest.param(
            connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=5),
            taken("db-1", "10.1.1.20", 8080, "10.1.1.10", 5),
            id="listener of another pod's process, by a service",
        ),
        pytest.param(
            connection("frontend-1", "10.1.1.10", "10.1.1.20", 8080, pod="cart-1", n=5),
            taken("db-1", "10.1.1.20", 8080, "10.1.1.10", 5),
            id="listener of another pod's process, directly",
        ),
    ],
)
def test_connection_that_was_forwarded_to_another_listener_is_explained(
    client: dict[str, Any], accepted: dict[str, Any]
) -> None:
    """By a host port, or by a process of another pod in the pod's network: none of it is missing."""
    ends = [("node-b", msgspec.convert(accepted, AcceptedRecord))]
    join, _opened = join_ends([msgspec.convert(client, ConnectionRecord)], ends, WITH_HOST_PORT, BOTH_WATCHED)
    assert (join.recall.accepted, join.recall.explained, dict(join.recall.not_comparable)) == (5, 5, {})


def test_window_that_was_not_read_whole_misses_nothing_and_names_no_backend() -> None:
    """What the records that were left out may explain is named, and what is explained is compared in sums."""
    ends = [
        ("node-a", msgspec.convert(taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", 30), AcceptedRecord)),
    ]
    join, _opened = join_ends(
        [msgspec.convert(BY_SERVICE, ConnectionRecord)], ends, TOPOLOGY, BOTH_WATCHED, whole=False
    )
    assert (join.recall.accepted, join.recall.explained) == (23, 23)
    assert dict(join.recall.not_comparable) == {"too_many_connections": 7}
    assert (sum(join.backends.values(), Counter()), join.in_sums) == (Counter(), {0})


@pytest.mark.parametrize(
    ("client_before", "client_new", "server_before", "server_new", "recall", "opened"),
    [
        pytest.param(7, 0, 7, 0, (0, 0), (7, 7), id="all are from before"),
        pytest.param(7, 5, 7, 5, (5, 5), (7, 7), id="each age by itself"),
        pytest.param(7, 0, 6, 1, (1, 1), (6, 6), id="accepted just after the window began"),
        pytest.param(7, 0, 7, 1, (1, 0), (7, 7), id="one that no client is seen to have made"),
        pytest.param(0, 5, 3, 5, (5, 5), (3, 0), id="no client of a connection from before"),
    ],
)
def test_connections_from_before_the_window_have_a_recall_of_their_own(
    client_before: int,
    client_new: int,
    server_before: int,
    server_new: int,
    recall: tuple[int, int],
    opened: tuple[int, int],
) -> None:
    """A connection from before explains one from before, and what is left of it one that was accepted at the start."""
    old = {**DIRECT, "attempts": 0, "established": client_before, "openedBefore": True}
    new = connection("frontend-1", "10.1.1.10", "10.1.1.20", 8080, pod="cart-1", n=client_new)
    taken_new = taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", server_new)
    taken_old = {**taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", server_before), "openedBefore": True}
    join, before = join_ends(
        [msgspec.convert(one, ConnectionRecord) for one in (old, new)],
        [("node-a", msgspec.convert(one, AcceptedRecord)) for one in (taken_new, taken_old)],
        TOPOLOGY,
        BOTH_WATCHED,
    )
    assert (join.recall.accepted, join.recall.explained) == recall
    assert (before.accepted, before.explained) == opened
