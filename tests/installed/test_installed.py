"""Podsonar as an operator installs it, on real pods: the map is what the pods did, and an end leaves nothing."""

from typing import Any

import orjson
import pytest

from lab.nodes import install, shop
from lab.nodes.cluster import Cluster
from lab.nodes.comparison import differences, made_in
from tests.installed.conftest import Observed

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]


def lines(cluster: Cluster, app: str) -> list[dict[str, Any]]:
    """What the clients of a workload printed."""
    said = cluster.kubectl("-n", shop.NAMESPACE, "logs", "-l", f"app={app}", "-c", "client", "--tail=-1")
    return [orjson.loads(line) for line in said.splitlines() if line.startswith("{")]


@pytest.mark.timeout(420)
def test_map_is_what_the_pods_did(observed: Observed) -> None:
    """Every edge of the shop is on the map with its counts, across nodes and from both of them, and no other edge."""
    assert differences(shop.truth(observed.workloads), observed.found) == []


def test_pods_made_what_is_declared(installed: Cluster, observed: Observed) -> None:
    """The truth that the map is compared with is what the pods' own program counted in that window."""
    for workload in observed.workloads:
        made = made_in(lines(installed, workload.name), observed.window) if workload.calls else {}
        assert sorted(made.values()) == sorted(call.count * workload.pods for call in workload.calls), workload.name


def test_no_pod_of_the_other_node_is_told_twice(observed: Observed) -> None:
    """Both agents run over one kernel: each leaves what is the other's to the other, and counts it; none is full."""
    counts = observed.found["observation"]
    assert set(counts) == {"node-a", "node-b"}
    for told in counts.values():
        # The kernel skips a program that an interrupt finds running: counted, and rare, but not never.
        assert set(told["lost"]) <= {"program_missed"}
        assert told["filtered"]["other_node"] > 0


def test_agents_hold_two_capabilities_and_no_token(installed: Cluster) -> None:
    """As the API server stored them, not as the chart says: BPF and PERFMON, no service account token."""
    query = {"labelSelector": "app.kubernetes.io/component=node-agent"}
    pods = installed.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]
    assert len(pods) == installed.layout.size
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["capabilities"] == {"add": ["BPF", "PERFMON"], "drop": ["ALL"]}
        assert not container["securityContext"].get("privileged")
        assert not [one for one in pod["spec"]["volumes"] if "projected" in one]


@pytest.mark.timeout(420)
def test_helm_test_passes_once_agents_have_reported(installed: Cluster, observed: Observed) -> None:
    """What the notes tell an operator to run: the release's own test pod reaches a manager that agents push to."""
    said = install.helm(
        installed, "test", install.RELEASE, "--namespace", install.NAMESPACE, "--timeout=180s", "--logs"
    )
    assert "Phase:          Succeeded" in said
    assert "the manager is ready and has stored" in said
