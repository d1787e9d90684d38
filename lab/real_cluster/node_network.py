"""The nodes' namespaces and the links between them; the machine's own network gets one link per node and nothing else.

Machine, node A and node B are a triangle of point-to-point links: no bridge, no forwarding and no packet filter of the
machine is involved, so that none of its settings changes. Everything goes with the nodes' namespaces.
"""

import subprocess
import time
from pathlib import Path

from lab.real_cluster.addressing import ClusterNode, Layout
from lab.real_cluster.daemons import Daemons
from lab.simulated.network import run
from podsonar.errors import ApiServerError

# In a mount namespace of its own a node has private `/run`, `/var/lib` and `/var/log`: two kubelets with their fixed
# paths do not meet, nothing of them shows on the machine, and no mount outlives the node.
PREPARE = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/node /run/lock
mount --bind "$1/settings" /run/node
mount --bind "$1/log" /var/log
mount --bind "$1/lib" /var/lib
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
mount --make-rshared /
touch /run/node/prepared
exec sleep infinity
"""
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/bridge/bridge-nf-call-iptables": "1",  # answers between pods of a bridge pass the service translation
    "net/bridge/bridge-nf-call-ip6tables": "1",
}
PREPARED_SECONDS = 10.0


def inside(pid: int, *command: str, text: str = "") -> None:
    """Run the command in the namespaces of the process."""
    run("nsenter", "--target", str(pid), "--mount", "--net", "--", *command, text=text)


def start_holder(daemons: Daemons, node: ClusterNode) -> int:
    """Start the process that holds the node's namespaces, and return its pid."""
    for name in ("settings", "log", "lib"):
        (node.folder / name).mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", "--net", "--propagation", "private", "--", "sh", "-c", PREPARE, "sh"]
    pid = daemons.start(node.name, [*command, str(node.folder)])
    deadline = time.monotonic() + PREPARED_SECONDS
    while not (node.settings / "prepared").exists():
        daemons.check()
        if time.monotonic() > deadline:
            raise ApiServerError(f"{node.name} has no namespaces, expected them within {PREPARED_SECONDS:.0f} s")
        time.sleep(0.02)
    return pid


def machine_link(layout: Layout, node: ClusterNode, pid: int) -> list[str]:
    """The machine's `ip` lines for one node."""
    link = layout.link(node)
    return [
        f"link add {link} type veth peer name machine netns {pid}",
        f"addr add {layout.address}/32 dev {link}",
        f"link set {link} up",
        f"route add {node.address}/32 dev {link} src {layout.address}",
        f"route add {node.pod_range} via {node.address} dev {link} onlink src {layout.address}",
    ]


def node_link(layout: Layout, node: ClusterNode) -> list[str]:
    """A node's `ip` lines for its link to the machine, its route to everything else."""
    return [
        "link set lo up",
        f"addr add {node.address}/32 dev machine",
        "link set machine up",
        f"route add {layout.address}/32 dev machine src {node.address}",
        f"route add default via {layout.address} dev machine onlink src {node.address}",
    ]


def peer_link(node: ClusterNode, peer: ClusterNode) -> list[str]:
    """A node's `ip` lines for its link to another node."""
    return [
        f"link set {peer.name} up",
        f"route add {peer.address}/32 dev {peer.name} src {node.address}",
        f"route add {peer.pod_range} via {peer.address} dev {peer.name} onlink src {node.address}",
    ]


def connect_nodes(layout: Layout, pids: dict[str, int]) -> None:
    """Connect machine and nodes, so that they reach each other and each other's pods."""
    for node in layout.nodes:
        pid = pids[node.name]
        run("ip", "-batch", "-", text="\n".join(machine_link(layout, node, pid)) + "\n")
        inside(pid, "ip", "-batch", "-", text="\n".join(node_link(layout, node)) + "\n")
        writes = "; ".join(
            f"[ ! -e /proc/sys/{name} ] || echo {value} > /proc/sys/{name}" for name, value in SYSCTLS.items()
        )
        inside(pid, "sh", "-c", writes)
    first, *others = layout.nodes
    for peer in others:
        ends = f"link add {peer.name} type veth peer name {first.name} netns {pids[peer.name]}\n"
        inside(pids[first.name], "ip", "-batch", "-", text=ends)
        inside(pids[first.name], "ip", "-batch", "-", text="\n".join(peer_link(first, peer)) + "\n")
        inside(pids[peer.name], "ip", "-batch", "-", text="\n".join(peer_link(peer, first)) + "\n")
    run("ip", "addr", "add", f"{layout.outside}/32", "dev", layout.link(first))


def remove_links(layout: Layout) -> None:
    """Remove the machine's links of this cluster."""
    for node in layout.nodes:
        if Path(f"/sys/class/net/{layout.link(node)}").exists():
            subprocess.run(["ip", "link", "del", layout.link(node)], capture_output=True, check=False)
