"""An address that passes from one pod to another in the middle of a window, while clients connect to it.

The clients: `early` is gone before the change, `late` comes after it, `through-near` and `through-far` see both owners.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.real_cluster.addressing import ClusterNode, Layout
from lab.real_cluster.cluster import RealCluster, write_cni_config
from lab.real_cluster.installed import shop
from tests.installed.pods.short_lived_pods import bare_pod, counting_pod_spec, is_gone, running_pods

PORT = 8080
FORMER, LATTER = "former", "latter"
THROUGH = ("through-near", "through-far")
CLIENTS = ("early", "late", *THROUGH)
COMPARED_ELSEWHERE = frozenset({*CLIENTS, LATTER})  # sources of edges that are not part of the shop's truth
# The owners that a client can have reached; if the directory cannot be certain, the map shows the address itself.
REACHED = {"early": FORMER, "late": LATTER}


@dataclass(frozen=True)
class Handover:
    """The address, when the former owner released it, and when the next owner answered there."""

    address: str
    given_back_ns: int
    taken_ns: int


def node_and_address(layout: Layout) -> tuple[ClusterNode, str]:
    """The node and the address: the last but four of its range, which no other pod of the tests gets."""
    node = layout.nodes[1]
    return node, f"{node.pod_range.rpartition('.')[0]}.250"


def server(name: str, node: ClusterNode) -> dict[str, Any]:
    """A pod that listens and ends at once on request."""
    spec = {
        "containers": [shop.container("server", ["serve", str(PORT)])],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return bare_pod(name, node, spec)


def client(name: str, node: ClusterNode, address: str) -> dict[str, Any]:
    """A pod that connects to the address from its start on."""
    return bare_pod(name, node, counting_pod_spec(["join", "60s", f"{address}:{PORT}", "43"]))


def start_server(cluster: RealCluster, name: str, before: Callable[[], object] = lambda: None) -> None:
    """Start a server pod with the one address; later pods of the node get other addresses again."""
    node, address = node_and_address(cluster.layout)
    write_cni_config(cluster.layout, node, address)
    try:
        before()
        cluster.apply([server(name, node)])
        cluster.wait(f"pod {name} runs", lambda: running_pods(cluster, name) == 1, 40)
    finally:
        write_cni_config(cluster.layout, node)
    found = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods/{name}")["status"]["podIP"]
    assert found == address, f"{name} has {found}, expected {address}"


def start_clients(cluster: RealCluster) -> None:
    """Start the former owner, and all clients but the late one."""
    near, address = node_and_address(cluster.layout)
    start_server(cluster, FORMER)
    cluster.apply(
        [
            client("early", near, address),
            client(THROUGH[0], near, address),
            client(THROUGH[1], cluster.layout.nodes[0], address),
        ]
    )
    first = ("early", *THROUGH)
    cluster.wait("the clients run", lambda: all(running_pods(cluster, name) for name in first), 40)


def hand_over(cluster: RealCluster) -> Handover:
    """End the early client, kill the former owner, give its address to the next one, start the late client."""
    near, address = node_and_address(cluster.layout)
    cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", "early", "--wait=true")
    lease = near.folder / "lib" / "cni" / "networks" / cluster.layout.name / address
    given_back_ns = 0

    def kill() -> None:
        nonlocal given_back_ns
        cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", FORMER, "--grace-period=0", "--force")
        cluster.wait("the address is given back", lambda: not lease.exists(), 40)
        given_back_ns = time.time_ns()

    start_server(cluster, LATTER, kill)
    # The pod's first packet: until then the others send to the link address of the former owner.
    cluster.kubectl("-n", shop.NAMESPACE, "exec", LATTER, "--", "/program", "dial", "kubernetes.default.svc:443", "1")
    taken_ns = time.time_ns()
    cluster.apply([client("late", near, address)])
    cluster.wait("the late client runs", lambda: running_pods(cluster, "late") == 1, 40)
    return Handover(address, given_back_ns, taken_ns)


def delete_clients(cluster: RealCluster) -> None:
    """Delete these pods; the clients write their counts first."""
    names = [LATTER, "late", *THROUGH]
    cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", *names, "--wait=true")
    cluster.wait("the clients are gone", lambda: all(is_gone(cluster, name) for name in names), 40)
