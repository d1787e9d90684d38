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


class LabError(RuntimeError):
    """The lab could not be made; the text says which command failed and how."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A ClusterIP, its port, and the backends that the node picks in turn."""

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
    inside(name, "sh", "-c", writes)


def attach(node: str, name: str, link: str, addresses: tuple[str, ...], gateways: tuple[str, ...]) -> None:
    """A namespace with the addresses, reached through the node; its default routes lead there."""
    run("ip", "netns", "add", name)
    batch(node, f"link add {link} netns {node} type veth peer name eth0 netns {name}", f"link set {link} up")
    batch(name, "link set lo up", "link set eth0 up")
    for address, gateway in zip(addresses, gateways, strict=True):
        six = ":" in address
        family, bits, flags = ("-6", 128, " nodad") if six else ("-4", 32, "")
        inside(node, "ip", "addr", "add", f"{gateway}/{bits}", "dev", link, *flags.split())
        inside(name, "ip", "addr", "add", f"{address}/{bits}", "dev", "eth0", *flags.split())
        inside(name, "ip", family, "route", "add", f"{gateway}/{bits}", "dev", "eth0")
        inside(name, "ip", family, "route", "add", "default", "via", gateway)
        inside(node, "ip", family, "route", "add", f"{address}/{bits}", "dev", link)


def rules(translations: list[Translation]) -> str:
    """The nftables script that sends each ClusterIP to its backends, round robin."""
    lines = []
    for one in translations:
        six = ":" in one.address
        word, family = ("ip6", "[{}]:{}") if six else ("ip", "{}:{}")
        if len(one.backends) == 1:
            target = family.format(one.backends[0], one.target_port)
        else:
            choices = ", ".join(f"{number} : {backend}" for number, backend in enumerate(one.backends))
            target = f"numgen inc mod {len(one.backends)} map {{ {choices} }}"
            if one.port != one.target_port:
                raise LabError(f"{one.address}:{one.port}: several backends need the same target port")
        lines.append(f"    {word} daddr {one.address} tcp dport {one.port} dnat {word} to {target}")
    body = "\n".join(lines)
    chain = "  chain services {\n    type nat hook prerouting priority -100;"
    return f"table inet podsonar {{\n{chain}\n{body}\n  }}\n}}\n"


def translate(node: str, translations: list[Translation]) -> None:
    """The node translates these ClusterIPs from now on."""
    inside(node, "nft", "-f", "-", text=rules(translations))


def remove(prefix: str) -> None:
    """No network namespace of that run is left; links and rules go with them."""
    for path in sorted(FOLDER.glob(f"{prefix}-*")):
        subprocess.run(("ip", "netns", "del", path.name), capture_output=True, check=False)
