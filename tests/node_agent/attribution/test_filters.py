"""node_agent/attribution/filters.py: (flow, pod, answer) -> the one reason, in the documented order."""

import pytest

from node_agent.attribution.filters import source_reason
from node_agent.attribution.pod_lookup import NOT_ASKED
from node_agent.capture.pod_cgroup import HIERARCHY_ROOT, HOST, UNKNOWN_OWNER, CgroupOwner
from podsonar.directory_answer import Answer
from tests.node_agent.stages import OWN, WEB, flow

HERE = Answer("Pod", WEB, "shop", "web-1", node_name="node-a")
ELSEWHERE = Answer("Pod", WEB, "shop", "web-1", node_name="node-b", excluded="orphaned_pod")


WEB_POD, OWN_POD = CgroupOwner("pod", (WEB,), True), CgroupOwner("pod", (OWN,), True)


@pytest.mark.parametrize(
    ("destination", "owner", "source", "expected"),
    [
        ("10.96.0.10", WEB_POD, HERE, None),
        ("10.96.0.10", HOST, NOT_ASKED, "source_not_a_pod"),
        ("10.96.0.10", HIERARCHY_ROOT, NOT_ASKED, "source_not_a_pod"),
        ("10.96.0.10", HIERARCHY_ROOT, HERE, None),
        ("10.96.0.10", UNKNOWN_OWNER, NOT_ASKED, None),
        ("10.96.0.10", UNKNOWN_OWNER, HERE, None),
        ("127.0.0.1", HOST, NOT_ASKED, "source_not_a_pod"),
        ("127.0.0.1", UNKNOWN_OWNER, NOT_ASKED, "loopback"),
        ("127.8.0.1", WEB_POD, HERE, "loopback"),
        ("::1", OWN_POD, HERE, "loopback"),
        ("10.96.0.10", OWN_POD, ELSEWHERE, "own_traffic"),
        ("10.96.0.10", UNKNOWN_OWNER, Answer("Pod", OWN, node_name="node-a"), "own_traffic"),
        ("10.96.0.10", CgroupOwner("pod", (WEB, OWN), True), HERE, "own_traffic"),
        ("10.96.0.10", WEB_POD, ELSEWHERE, "other_node"),
        ("10.96.0.10", WEB_POD, Answer("Pod", WEB, node_name="node-a", excluded="batch_pod"), "batch_pod"),
        ("10.96.0.10", WEB_POD, Answer("Unknown", reason="pod_unknown"), None),
    ],
)
def test_a_flow_is_left_out_by_the_first_rule_that_holds(
    destination: str, owner: CgroupOwner, source: Answer, expected: str | None
) -> None:
    """Known to be no pod, loopback, own traffic, other node, then the selection's rules: exactly one reason."""
    assert source_reason(flow(7, destination), owner, source, "node-a", OWN) == expected
