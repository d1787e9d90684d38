"""An address that goes from one pod to another in the middle of a window, while clients connect to it.

The clients: `early` is gone before the change, `late` comes after it, `through-near` and `through-far` see both owners.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.real_cluster.addressing import ClusterNode, Layout
from lab.real_cluster.cluster import RealCluster, write_cni_config
from lab.real_cluster.installed import shop
from tests.installed.short_lived_pods import counting, gone, lone, running

PORT = 8080
FORMER, LATTER = "former", "latter"
THROUGH = ("through-near", "through-far")
CLIENTS = ("early", "late", *THROUGH)
APART = frozenset({*CLIENTS, LATTER})  # sources of edges that are no part of the shop's truth
# Whom a client can have reached at all; where the directory cannot be certain, the map shows the address itself.
REACHED = {"early": FORMER, "late": LATTER}


@dataclass(frozen=True)
class Handover:
    """The address, and when the former owner gave it back and the next one answered there."""

    address: str
    given_back_ns: int
    taken_ns: int


def place(layout: Layout) -> tuple[ClusterNode, str]:
    """The node and the address: the last but four of its range, which no other pod of the tests gets to."""
    node = layout.nodes[1]
    return node, f"{node.pod_range.rpartition('.')[0]}.250"


def server(name: str, node: ClusterNode) -> dict[str, Any]:
    """A pod that listens, and ends at once when it is told to."""
    spec = {
        "containers": [shop.container("server", ["serve", str(PORT)])],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return lone(name, node, spec)


def client(name: str, node: ClusterNode, address: str) -> dict[str, Any]:
    """A pod that connects to the address from its start on."""
    return lone(name, node, counting(["join", "60s", f"{address}:{PORT}", "43"]))


def with_address(cluster: RealCluster, name: str, before: Callable[[], object] = lambda: None) -> None:
    """A server runs that was given the one address; pods of the node that come later get others again."""
    node, address = place(cluster.layout)
    write_cni_config(cluster.layout, node, address)
    try:
        before()
        cluster.apply([server(name, node)])
        cluster.wait(f"pod {name} runs", lambda: running(cluster, name) == 1, 40)
    finally:
        write_cni_config(cluster.layout, node)
    found = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods/{name}")["status"]["podIP"]
    assert found == address, f"{name} has {found}, expected {address}"


def begin(cluster: RealCluster) -> None:
    """The former owner answers, and all clients but the late one run."""
    near, address = place(cluster.layout)
    with_address(cluster, FORMER)
    cluster.apply(
        [
            client("early", near, address),
            client(THROUGH[0], near, address),
            client(THROUGH[1], cluster.layout.nodes[0], address),
        ]
    )
    first = ("early", *THROUGH)
    cluster.wait("the clients run", lambda: all(running(cluster, name) for name in first), 40)


def hand_over(cluster: RealCluster) -> Handover:
    """The early client has ended, the former owner is killed, its address is the next one's; the late client comes."""
    near, address = place(cluster.layout)
    cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", "early", "--wait=true")
    lease = near.folder / "lib" / "cni" / "networks" / cluster.layout.name / address
    given_back_ns = 0

    def kill() -> None:
        nonlocal given_back_ns
        cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", FORMER, "--grace-period=0", "--force")
        cluster.wait("the address is given back", lambda: not lease.exists(), 40)
        given_back_ns = time.time_ns()

    with_address(cluster, LATTER, kill)
    # The pod's first packet: until then the others send to the link address of the former owner.
    cluster.kubectl("-n", shop.NAMESPACE, "exec", LATTER, "--", "/program", "dial", "kubernetes.default.svc:443", "1")
    taken_ns = time.time_ns()
    cluster.apply([client("late", near, address)])
    cluster.wait("the late client runs", lambda: running(cluster, "late") == 1, 40)
    return Handover(address, given_back_ns, taken_ns)


def end(cluster: RealCluster) -> None:
    """None of these pods is left; the clients have written what they made."""
    names = [LATTER, "late", *THROUGH]
    cluster.kubectl("-n", shop.NAMESPACE, "delete", "pod", *names, "--wait=true")
    cluster.wait("the clients are gone", lambda: all(gone(cluster, name) for name in names), 40)
