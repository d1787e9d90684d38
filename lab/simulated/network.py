"""The simulated network: a node in its own namespace that routes between pods and translates ClusterIPs.

Pods hang on point-to-point links, so that every packet passes the node (on a shared bridge a backend's answer would go
straight to the client and bypass the translation). Nothing is created in the host's namespace.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

GATEWAY = ("10.244.7.1", "fd00:244:7::1")
OUTSIDE_GATEWAY = "198.51.100.1"
OUTSIDE = "198.51.100.7"
NAMESPACE_FOLDER = Path("/run/netns")
# Without it links carry IPv6 only after a second of duplicate address detection.
NO_DUPLICATE_ADDRESS_DETECTION = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"


class LabError(RuntimeError):
    """The lab could not be built; the text names the command that failed and how."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A ClusterIP (or a node address with a node port) and the backends that the node picks in turn."""

    address: str
    port: int
    backends: tuple[str, ...]
    target_port: int


def run(*command: str, text: str = "") -> None:
    """Run the command; raise LabError if it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed with {done.returncode}: {done.stderr.strip()[:300]}")


def run_in_namespace(namespace: str, *command: str, text: str = "") -> None:
    """Run the command inside the network namespace; raise LabError if it fails.

    nsenter rather than `ip -n`, which remounts /: a chroot's root refuses that, and it hides the cgroup mounts.
    """
    run("nsenter", f"--net={NAMESPACE_FOLDER / namespace}", *command, text=text)


def ip_batch(namespace: str, *lines: str) -> None:
    """Run all lines by `ip -batch` inside the namespace."""
    run_in_namespace(namespace, "ip", "-batch", "-", text="\n".join(lines) + "\n")


def add_node_namespace(name: str) -> None:
    """Create a namespace that forwards both address families."""
    run("ip", "netns", "add", name)
    ip_batch(name, "link set lo up")
    settings = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
    writes = "; ".join(f"echo 1 > /proc/sys/{setting}" for setting in settings)
    run_in_namespace(name, "sh", "-c", f"{writes}; {NO_DUPLICATE_ADDRESS_DETECTION}")


def add_namespace(
    node: str,
    name: str,
    link: str,
    addresses: tuple[str, ...],
    gateways: tuple[str, ...],
    sources: tuple[str, ...] = (),
) -> None:
    """Create a namespace with the addresses, reached through the node; its default routes lead there.

    `sources`: the node's own addresses that its programs use towards the namespace; by default the gateway's.
    """
    run("ip", "netns", "add", name)
    run_in_namespace(name, "sh", "-c", NO_DUPLICATE_ADDRESS_DETECTION)
    pair = f"link add {link} netns {node} type veth peer name eth0 netns {name}"
    at_node = [pair, f"link set {link} up"]
    at_pod = ["link set lo up", "link set eth0 up"]
    routes = []
    for number, (address, gateway) in enumerate(zip(addresses, gateways, strict=True)):
        bits, flags = (128, " nodad") if ":" in address else (32, "")
        at_node.append(f"addr add {gateway}/{bits} dev {link}{flags}")
        at_pod.append(f"addr add {address}/{bits} dev eth0{flags}")
        at_pod.append(f"route add {gateway}/{bits} dev eth0")
        at_pod.append(f"route add default via {gateway}")
        source = f" src {sources[number]}" if sources else ""
        routes.append(f"route add {address}/{bits} dev {link}{source}")
    ip_batch(node, *at_node)
    ip_batch(name, *at_pod)
    ip_batch(node, *routes)


def nftables_rules(translations: list[Translation]) -> str:
    """The nftables script that sends each ClusterIP to its backends, round robin, for pods and for the node itself."""
    lines = []
    for translation in translations:
        six = ":" in translation.address
        ip_word, family = ("ip6", "[{}]:{}") if six else ("ip", "{}:{}")
        if len(translation.backends) == 1:
            target = family.format(translation.backends[0], translation.target_port)
        else:
            pairs = (
                f"{number} : {backend} . {translation.target_port}"
                for number, backend in enumerate(translation.backends)
            )
            target = f"numgen inc mod {len(translation.backends)} map {{ {', '.join(pairs)} }}"
        lines.append(
            f"    {ip_word} daddr {translation.address} tcp dport {translation.port} dnat {ip_word} to {target}"
        )
    body = "\n".join(lines)
    chains = "".join(
        f"  chain {name} {{\n    type nat hook {hook} priority -100;\n{body}\n  }}\n"
        for name, hook in (("services", "prerouting"), ("own", "output"))
    )
    return f"table inet podsonar {{\n{chains}}}\n"


def add_translations(node: str, translations: list[Translation]) -> None:
    """Install nftables rules for these ClusterIPs on the node."""
    run_in_namespace(node, "nft", "-f", "-", text=nftables_rules(translations))


def delete_namespaces(prefix: str) -> None:
    """Delete every network namespace of that run; links and rules go with them."""
    for path in sorted(NAMESPACE_FOLDER.glob(f"{prefix}-*")):
        subprocess.run(("ip", "netns", "del", path.name), capture_output=True, check=False)
