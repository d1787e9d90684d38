"""The lab's network: a node in its own namespace that routes between pods and translates ClusterIPs.

Pods hang on point-to-point links, so that every packet passes the node (on a shared bridge the answer of a backend
would go straight to the client, past the translation). Nothing is made in the host's namespace.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

GATEWAY = ("10.244.7.1", "fd00:244:7::1")
OUTSIDE_GATEWAY = "198.51.100.1"
OUTSIDE = "198.51.100.7"
FOLDER = Path("/run/netns")
# Links carry IPv6 at once, and not after a second in which their own addresses are looked for.
NO_DUPLICATES = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"


class LabError(RuntimeError):
    """The lab could not be made; the text says which command failed and how."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A ClusterIP (or a node's address with a node port), and the backends that the node picks in turn."""

    address: str
    port: int
    backends: tuple[str, ...]
    target_port: int


def run(*command: str, text: str = "") -> None:
    """The command has succeeded; LabError otherwise."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed with {done.returncode}: {done.stderr.strip()[:300]}")


def inside(namespace: str, *command: str, text: str = "") -> None:
    """The command has succeeded inside the namespace.

    nsenter and not `ip -n`: that one remounts /, which a chroot's root refuses, and hides the cgroup mounts.
    """
    run("nsenter", f"--net={FOLDER / namespace}", *command, text=text)


def batch(namespace: str, *lines: str) -> None:
    """All lines have been carried out by `ip` inside the namespace."""
    inside(namespace, "ip", "-batch", "-", text="\n".join(lines) + "\n")


def make_node(name: str) -> None:
    """A namespace that forwards both families."""
    run("ip", "netns", "add", name)
    batch(name, "link set lo up")
    settings = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
    writes = "; ".join(f"echo 1 > /proc/sys/{setting}" for setting in settings)
    inside(name, "sh", "-c", f"{writes}; {NO_DUPLICATES}")


def attach(
    node: str,
    name: str,
    link: str,
    addresses: tuple[str, ...],
    gateways: tuple[str, ...],
    sources: tuple[str, ...] = (),
) -> None:
    """A namespace with the addresses, reached through the node; its default routes lead there.

    `sources` are the node's own addresses, that its programs speak to the namespace with; without them a gateway's.
    """
    run("ip", "netns", "add", name)
    inside(name, "sh", "-c", NO_DUPLICATES)
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
    batch(node, *at_node)
    batch(name, *at_pod)
    batch(node, *routes)


def rules(translations: list[Translation]) -> str:
    """The nftables script that sends each ClusterIP to its backends, round robin, for pods and for the node itself."""
    lines = []
    for one in translations:
        six = ":" in one.address
        word, family = ("ip6", "[{}]:{}") if six else ("ip", "{}:{}")
        if len(one.backends) == 1:
            target = family.format(one.backends[0], one.target_port)
        else:
            pairs = (f"{number} : {backend} . {one.target_port}" for number, backend in enumerate(one.backends))
            target = f"numgen inc mod {len(one.backends)} map {{ {', '.join(pairs)} }}"
        lines.append(f"    {word} daddr {one.address} tcp dport {one.port} dnat {word} to {target}")
    body = "\n".join(lines)
    chains = "".join(
        f"  chain {name} {{\n    type nat hook {hook} priority -100;\n{body}\n  }}\n"
        for name, hook in (("services", "prerouting"), ("own", "output"))
    )
    return f"table inet podsonar {{\n{chains}}}\n"


def translate(node: str, translations: list[Translation]) -> None:
    """The node translates these ClusterIPs from now on."""
    inside(node, "nft", "-f", "-", text=rules(translations))


def remove(prefix: str) -> None:
    """No network namespace of that run is left; links and rules go with them."""
    for path in sorted(FOLDER.glob(f"{prefix}-*")):
        subprocess.run(("ip", "netns", "del", path.name), capture_output=True, check=False)
