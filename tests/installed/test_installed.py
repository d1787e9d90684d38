"""Podsonar as an operator installs it, on real pods: the map is what the pods did, and an end leaves nothing."""

import os

import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.compare import differences
from tests.installed import disturbances
from tests.installed.pod_processes import processes
from tests.installed.windows import ObservedWindow

USER = "60946"
GRANTED = ["BPF", "PERFMON", "SETGID", "SETUID"]

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]


@pytest.mark.timeout(900)
def test_map_is_what_the_pods_did(observed: ObservedWindow) -> None:
    """Every edge of the shop is on the map with its counts, across nodes and from both of them, and no other edge."""
    assert differences(shop.truth(observed.workloads), observed.found) == []


def test_pods_made_what_is_declared(observed: ObservedWindow) -> None:
    """The truth that the map is compared with is what the pods' own program counted in that window."""
    for workload in observed.workloads:
        made = observed.made.get(workload.name, {})
        assert sorted(made.values()) == sorted(call.count * workload.pods for call in workload.calls), workload.name


def test_no_pod_of_the_other_node_is_reported_twice(observed: ObservedWindow) -> None:
    """Both agents run on one kernel: each leaves the other's records to it and counts them; no table is full."""
    counts = observed.found["observation"]
    assert set(counts) == {"node-a", "node-b"}
    for observation in counts.values():
        # The kernel skips a program that an interrupt finds running: counted, and rare, but not never.
        assert set(observation["lost"]) <= {"program_missed"}
        assert observation["filtered"]["other_node"] > 0


def test_agents_hold_two_capabilities_and_no_token(installed: RealCluster) -> None:
    """As stored by the API server: BPF, PERFMON and leaving uid 0; no host path, no account token."""
    query = {"labelSelector": "app.kubernetes.io/component=node-agent"}
    pods = installed.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]
    assert len(pods) == installed.layout.size
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["capabilities"] == {"add": GRANTED, "drop": ["ALL"]}
        assert not container["securityContext"].get("privileged")
        assert not [item for item in pod["spec"]["volumes"] if "projected" in item or "hostPath" in item]


def test_no_process_of_an_agent_is_uid_0_and_what_stays_holds_nothing(installed: RealCluster) -> None:
    """On the node itself: supervisor with two capabilities, agent with none in any set, both of another user."""
    for pod in disturbances.pods(installed, "node-agent"):
        running = processes(pod["metadata"]["uid"])
        assert {word for _command, fields in running for word in fields["Uid"].split()} == {USER}
        held = {
            "supervisor" if "supervisor.py" in command else "agent": {
                int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")
            }
            for command, fields in running
            if "loader.py" not in command or "supervisor.py" in command
        }
        assert held == {"supervisor": {1 << 38 | 1 << 39}, "agent": {0}}


def test_connections_from_before_are_read_by_the_iterator(observed: ObservedWindow) -> None:
    """On both nodes, nothing of them unread: the process that reads them has no capability."""
    for observation in observed.found["observation"].values():
        assert observation["openedBefore"]["by"] == "iterator"
        assert not observation["openedBefore"].get("notRead")


@pytest.mark.timeout(900)
def test_helm_test_passes_once_agents_have_reported(installed: RealCluster, observed: ObservedWindow) -> None:
    """The command of the notes: the release's own test pod reaches a manager that agents push to."""
    said = install.helm(
        installed, "test", install.RELEASE, "--namespace", install.NAMESPACE, "--timeout=180s", "--logs"
    )
    assert "Phase:          Succeeded" in said
    assert "the manager is ready and has stored" in said


def test_headers_of_another_release_trace_this_kernel(installed: RealCluster, observed: ObservedWindow) -> None:
    """The agents' headers are their image's, of whatever kernel Debian has; the window is whole (row 26)."""
    for pod in disturbances.pods(installed, "node-agent"):
        up = 'podsonar_node_agent_tracer_up{headers_source="image",method="raw_tracepoint"}'
        assert disturbances.metrics(pod)[up] == 1
    agent = f"daemonset/{install.RELEASE}-node-agent"
    configuration = "/usr/src/linux-headers-podsonar/include/generated/autoconf.h"
    said = disturbances.kubectl(installed, "exec", agent, "--", "grep", "Kernel Configuration", configuration)
    release = said.split()[2]  # " * Linux/x86 6.1.192 Kernel Configuration"
    assert release[0].isdigit()
    assert not os.uname().release.startswith(release)
    assert {node_coverage["observed"] for node_coverage in observed.found["coverage"].values()} == {"whole"}


def test_masqueraded_connects_are_named_or_compared_in_sums(observed: ObservedWindow) -> None:
    """Each named backend accepted no more than the edge has; if the map names fewer, the edge is marked `inSums`."""
    kinds = {item["id"]: item["kind"] for item in observed.found["services"]}
    inside = [edge for edge in observed.found["edges"] if kinds[edge["destination"]] in ("Service", "Workload")]
    sums = [edge for edge in inside if edge["inSums"]]
    for edge in inside:
        named = sum(item["accepted"] for item in edge["backends"])
        assert named == edge["established"] or (edge["inSums"] and named < edge["established"]), edge
    assert sums  # on two nodes some pods of a service are always on the other one
