"""manager/service_map/join.py: both ends compared, as (client records, accepted records) -> recall."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from manager.schema.records import AcceptedRecord, ConnectionRecord
from manager.service_map.join import Observers, join_ends
from manager.service_map.topology import build_topology
from manager.store.batches.object_summary import summarize_object
from tests.manager.service_map.observed_shop import BOTH_WATCHED, BY_SERVICE, DIRECT, FACTS, TOPOLOGY
from tests.manager.shop import connection, pod, taken

WATCHED = Observers(frozenset({"node-a"}), own_pods=frozenset({"uid-cart-2"}))


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
