"""Addresses of connections that are left out because of who made them."""

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
