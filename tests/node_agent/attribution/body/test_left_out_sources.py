"""Addresses of connections that are left out because of who made them."""

from node_agent.capture.pod_cgroup import SHARED
from tests.node_agent.stages import capture, flow, resolved


def test_sources_that_are_left_out_are_listed_by_address_and_reason() -> None:
    """A process of the node at a pod's address, and one that is not known: established connections, not attempts."""
    node, unknown = flow(9, "10.96.0.10", 7, "10.244.0.9"), flow(77, "10.96.0.10", 5, "10.244.9.9")
    failed = flow(9, "10.96.0.11", 3, "10.244.0.8")._replace(established=0, failed=3)
    counts = resolved(capture([node, unknown, failed, flow(7, "10.96.0.10", 2)])).observation
    assert counts["leftOutSources"] == [
        {"address": "10.244.0.9", "reason": "source_not_a_pod", "openedBefore": False, "established": 7},
        {"address": "10.244.9.9", "reason": "source_unknown", "openedBefore": False, "established": 5},
    ]


def test_connection_that_two_pods_hold_is_nobodys_and_its_address_is_listed() -> None:
    """Although its address is one pod's: which of the two uses it is not known."""
    shared = flow(SHARED, "10.96.0.10", 3, "10.244.0.8")._replace(attempts=0, opened_before=True)
    window = resolved(capture([shared]))
    assert window.observation["leftOutSources"] == [
        {"address": "10.244.0.8", "reason": "shared_socket", "openedBefore": True, "established": 3}
    ]
    assert window.observation["openedBefore"]["leftOut"] == {"shared_socket": 3}
    assert window.observation["delivered"] == 0
