"""Sums of what was beyond a pod's share: named, counted, and nobody's edge."""

from node_agent.attribution.body.scan_sums import MOST_LISTED, ScanSums
from podsonar.directory_answer import Answer
from podsonar.model import AcceptedFlow
from tests.node_agent.stages import START_NS, WEB, body, capture, flow, resolved


def accepted_sum(cgroup: int, accepted: int, port: int = 1024) -> AcceptedFlow:
    """What a listener accepted beyond the share of its pod."""
    return AcceptedFlow(cgroup, "0.0.0.0", port, "0.0.0.0", accepted, START_NS, START_NS + 1)


def test_sum_is_filtered_as_scan_and_named_by_pod_end_and_ports() -> None:
    """Attempts of the sum count in exactly one reason, and the pod is named beside its flows, which are delivered."""
    flows = [
        flow(7, "0.0.0.0", 97, "0.0.0.0", 1024),
        flow(8, "::", 31, "::", 1024),
        flow(7, "0.0.0.0", 11, "0.0.0.0", 0),
        flow(7, "10.96.0.10", 7),
    ]
    outcome = resolved(capture(flows, [accepted_sum(7, 41)]))
    counts = outcome.observation
    pod = {"kind": "Pod", "uid": WEB, "namespace": "shop", "name": "web-1"}
    assert (counts["attempts"], counts["delivered"], counts["filtered"]) == (146, 7, {"scan": 139})
    assert counts["accepted"]["filtered"] == {"scan": 41}
    assert counts["scan"] == [
        {"pod": pod, "end": "destination", "ports": "1024-49151", "accepted": 41},
        {"pod": pod, "end": "source", "ports": "0-1023", "attempts": 11, "established": 11, "failed": 0},
        {"pod": pod, "end": "source", "ports": "1024-49151", "attempts": 128, "established": 128, "failed": 0},
    ]
    assert [one["destinationIP"] for one in body(outcome)["connectionList"]] == ["10.96.0.10"]


def test_sum_of_what_is_no_pods_goes_by_the_rules_of_its_flows() -> None:
    """A process of the node is no pod, an unknown cgroup is unresolved, the agent's own traffic is its own: no scan."""
    flows = [flow(cgroup, "0.0.0.0", count, "0.0.0.0", 1024) for cgroup, count in ((9, 3), (77, 5), (10, 7))]
    counts = resolved(capture(flows, [accepted_sum(77, 2)])).observation
    assert counts["filtered"] == {"own_traffic": 7, "source_not_a_pod": 3}
    assert counts["unresolved"] == {"source_unknown": 5}
    assert counts["accepted"]["unresolved"] == {"cgroup_unknown": 2}
    assert "scan" not in counts


def test_window_without_a_sum_has_no_such_member() -> None:
    """A body is byte for byte what it was, unless a pod was beyond its share."""
    assert "scan" not in resolved(capture([flow(7, "10.96.0.10", 7)])).observation


def test_list_holds_the_largest_sums_only() -> None:
    """A thousand scanning pods: 64 sums are listed, the largest; `filtered` has the count of all."""
    scans = ScanSums()
    for number in range(1000):
        scans.add(Answer("Pod", f"uid-{number:04}", "shop", "web"), "source", 1024, {"attempts": number})
    listed = scans.member()["scan"]
    assert len(listed) == MOST_LISTED
    assert [one["attempts"] for one in listed] == list(range(1000 - MOST_LISTED, 1000))
