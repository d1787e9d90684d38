"""The test cluster is a real one: pods on both nodes, services across them, nothing left after it."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from lab.real_cluster.cluster import RealCluster, up, write_cni_config
from lab.real_cluster.images import POD_IMAGE
from podsonar.errors import ApiServerError
from tests.installed import machine_state

pytestmark = pytest.mark.cluster

NAMESPACE = "across"
Object = dict[str, Any]


def pod(name: str, node: str, arguments: list[str]) -> Object:
    """A pod on that node."""
    container = {"name": "main", "image": POD_IMAGE, "imagePullPolicy": "Never", "args": arguments}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str) -> Object:
    """A ClusterIP in front of the pods of that name."""
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def run(cluster: RealCluster, *pods: Object) -> dict[str, str]:
    """The addresses of the pods, all running."""
    cluster.apply(pods)
    wanted = {item["metadata"]["name"] for item in pods}
    found: dict[str, str] = {}

    def running_pods() -> bool:
        for item in cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]:
            if item["status"]["phase"] == "Running":
                found[item["metadata"]["name"]] = item["status"]["podIP"]
        return wanted <= set(found)

    cluster.wait(f"pods {sorted(wanted)} run", running_pods, 60)
    return found


def dial(cluster: RealCluster, client: str, address: str, count: int) -> Object:
    """The client program's report of that many connects."""
    said = cluster.kubectl("-n", NAMESPACE, "exec", client, "--", "/program", "dial", address, str(count))
    answer: Object = orjson.loads(said)
    return answer


@pytest.fixture(scope="module")
def across(nodes: RealCluster) -> Iterator[dict[str, str]]:
    """A client on each node and one server on the second, behind the ClusterIP `server`."""
    nodes.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, service("server")])
    first, second = (node.name for node in nodes.layout.nodes)
    addresses = run(
        nodes,
        pod("server", second, ["serve", "8080"]),
        pod("near", second, ["pause"]),
        pod("far", first, ["pause"]),
    )
    # Each node's kube-proxy learns of a ready endpoint a moment after the pod runs.
    for client in ("far", "near"):
        nodes.wait(
            f"the service answers {client}",
            lambda client=client: dial(nodes, client, "server.across.svc:80", 1)["established"] == 1,
        )
    yield addresses
    nodes.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_pods_have_addresses_of_their_nodes_range(nodes: RealCluster, across: dict[str, str]) -> None:
    """Each node's pods get addresses of the range that the Node object names."""
    ranges = [ipaddress.ip_network(item["spec"]["podCIDR"]) for item in nodes.get("/api/v1/nodes")["items"]]
    assert len(ranges) == 2
    assert ipaddress.ip_address(across["far"]) in ranges[0]
    assert all(ipaddress.ip_address(across[name]) in ranges[1] for name in ("near", "server"))


@pytest.mark.parametrize("client", ["near", "far"])
def test_cluster_ip_leads_to_the_backend_from_both_nodes(
    nodes: RealCluster, across: dict[str, str], client: str
) -> None:
    """Exactly the connects that are made through the service complete, by its name, from its own and the other node."""
    answer = dial(nodes, client, "server.across.svc.cluster.local:80", 13)
    assert (answer["attempts"], answer["established"], answer["failed"]) == (13, 13, 0)


def test_masqueraded_connect_shows_the_client_node(nodes: RealCluster, across: dict[str, str]) -> None:
    """With ipMasq the accepting end across nodes sees the client's node, on the same node the client's pod."""
    assert dial(nodes, "far", "server.across.svc:80", 5)["seen"] == {nodes.layout.nodes[0].address: 5}
    assert dial(nodes, "near", "server.across.svc:80", 5)["seen"] == {across["near"]: 5}


def test_without_masquerade_the_client_pod_is_seen(nodes: RealCluster, across: dict[str, str]) -> None:
    """Pods that are made with ipMasq off keep their own address on the way to the other node."""
    first = nodes.layout.nodes[0]
    try:
        write_cni_config(replace(nodes.layout, masquerade=False), first)
        plain = run(nodes, pod("plain", first.name, ["pause"]))["plain"]
    finally:
        write_cni_config(nodes.layout, first)
    assert dial(nodes, "plain", "server.across.svc:80", 7)["seen"] == {plain: 7}


def test_refused_connects_are_counted_as_failed(nodes: RealCluster, across: dict[str, str]) -> None:
    """A port on which nothing listens refuses each connect."""
    answer = dial(nodes, "far", f"{across['server']}:9999", 3)
    assert (answer["attempts"], answer["established"], answer["failed"]) == (3, 0, 3)


def test_pods_are_in_cgroups_with_their_uid(nodes: RealCluster, across: dict[str, str]) -> None:
    """The kubelet's cgroup of a pod carries its uid, below the node's own root."""
    uid = nodes.get(f"/api/v1/namespaces/{NAMESPACE}/pods/server")["metadata"]["uid"]
    second = nodes.layout.nodes[1]
    assert [path for top in machine_state.groups(nodes.layout) for path in top.glob(f"node-b/kubepods/*/pod{uid}")], (
        second
    )


def test_second_cluster_of_the_same_name_is_refused(nodes: RealCluster) -> None:
    """A cluster that is there is never built over."""
    with pytest.raises(ApiServerError, match="expected no cluster of that name"):
        up(nodes.layout, lambda _text: None)
