"""node_agent/attribution/filters.py: (flow, pod, answer) -> the one reason, in the documented order."""

import pytest

from node_agent.attribution.filters import source_reason
from podsonar.model import Answer
from tests.node_agent.stages import OWN, WEB, flow

HERE = Answer("Pod", WEB, "shop", "web-1", node_name="node-a")
ELSEWHERE = Answer("Pod", WEB, "shop", "web-1", node_name="node-b", excluded="orphaned_pod")


@pytest.mark.parametrize(
    ("destination", "uid", "answer", "expected"),
    [
        ("10.96.0.10", WEB, HERE, None),
        ("10.96.0.10", None, None, "source_not_a_pod"),
        ("127.0.0.1", None, None, "source_not_a_pod"),
        ("127.8.0.1", WEB, HERE, "loopback"),
        ("::1", OWN, HERE, "loopback"),
        ("10.96.0.10", OWN, ELSEWHERE, "own_traffic"),
        ("10.96.0.10", WEB, ELSEWHERE, "other_node"),
        ("10.96.0.10", WEB, Answer("Pod", WEB, node_name="node-a", excluded="batch_pod"), "batch_pod"),
        ("10.96.0.10", WEB, Answer("Unknown", reason="pod_unknown"), None),
    ],
)
def test_a_flow_is_left_out_by_the_first_rule_that_holds(
    destination: str, uid: str | None, answer: Answer | None, expected: str | None
) -> None:
    """Not a pod, loopback, own traffic, other node, then the selection's rules: exactly one reason."""
    assert source_reason(flow(7, destination), uid, answer, "node-a", OWN) == expected
