"""node_agent/attribution/flow_groups.py: what a capture asks of the directory."""

from node_agent.attribution.flow_groups import directory_queries, group_flows
from podsonar.directory_answer import Query
from tests.node_agent.stages import SECOND, START_NS, WEB, capture, flow


def test_flows_of_one_pod_to_one_place_ask_three_questions() -> None:
    """Each pod once on its node; its address once; each destination and port once, over the whole time it was used."""
    late = flow(8, "10.96.0.10")._replace(first_ns=START_NS + 5 * SECOND, last_ns=START_NS + 9 * SECOND)
    assert directory_queries(group_flows(capture([flow(7, "10.96.0.10"), late]))) == [
        Query(pod_uid=WEB, node="node-a"),
        Query("10.244.0.5", None, START_NS, START_NS + 9 * SECOND),
        Query("10.96.0.10", 8080, START_NS, START_NS + 9 * SECOND),
    ]


def test_flows_of_the_node_or_to_loopback_ask_no_destination() -> None:
    """What is left out anyway is not asked for."""
    assert directory_queries(group_flows(capture([flow(9, "10.96.0.10"), flow(7, "127.0.0.1")]))) == [
        Query(pod_uid=WEB, node="node-a")
    ]


def test_a_flow_without_cgroup_names_asks_for_its_source_address() -> None:
    """The last evidence is the address, in the time of the flow."""
    asked = directory_queries(group_flows(capture([flow(404, "10.96.0.10", source="10.244.0.6")])))
    assert Query("10.244.0.6", None, START_NS, START_NS + SECOND) in asked
