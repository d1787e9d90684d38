"""What may be injected: values that are checked, each with the order that a holder takes. Pure."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.faults.network_rule import MAX_NAMES, MAX_NETWORKS, MAX_PORTS, wire_name
from podsonar.errors import PodsonarError

MAX_WORKERS = 256
MAX_SECONDS = 3600.0
MAX_DELAY = 10_000  # ms
TCP, UDP = 6, 17


class InjectionError(PodsonarError):
    """A fault is not what it should be, or could not be made."""


def check(condition: bool, text: str) -> None:
    """InjectionError unless the condition holds."""
    if not condition:
        raise InjectionError(text)


def check_networks(name: str, texts: Sequence[str]) -> None:
    """InjectionError unless each text is an address or a network."""
    check(len(texts) <= MAX_NETWORKS, f"{name}: {len(texts)} networks, expected at most {MAX_NETWORKS}")
    for text in texts:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise InjectionError(f"{name} has {text[:60]!r}: expected an address or a network") from error


def check_ports(name: str, ports: Sequence[int]) -> None:
    """InjectionError unless each is a port."""
    fine = len(ports) <= MAX_PORTS and all(0 < port < 65536 for port in ports)
    check(fine, f"{name} is {list(ports)[:20]}: expected at most {MAX_PORTS} ports from 1 to 65535")


@dataclass(frozen=True, slots=True)
class CpuStress:
    """Processes that each use a share of one processor; in the caller's cgroups unless others are named."""

    workers: int
    load: int = 100
    cgroups: tuple[Path, ...] = ()

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(1 <= self.workers <= MAX_WORKERS, f"workers is {self.workers}: expected 1 to {MAX_WORKERS}")
        check(1 <= self.load <= 100, f"load is {self.load}: expected 1 to 100 percent")
        cgroups = [str(one) for one in self.cgroups]
        return {"kind": "cpu-stress", "workers": self.workers, "load": self.load, "cgroups": cgroups}


@dataclass(frozen=True, slots=True)
class MemoryStress:
    """Processes that together touch and keep some bytes."""

    workers: int
    bytes: int
    cgroups: tuple[Path, ...] = ()

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(1 <= self.workers <= MAX_WORKERS, f"workers is {self.workers}: expected 1 to {MAX_WORKERS}")
        check(0 < self.bytes <= 1 << 44, f"bytes is {self.bytes}: expected 1 to 2^44")
        cgroups = [str(one) for one in self.cgroups]
        return {"kind": "memory-stress", "workers": self.workers, "bytes": self.bytes, "cgroups": cgroups}


@dataclass(frozen=True, slots=True)
class PacketLoss:
    """A share of the packets that a cgroup receives is dropped; with `partition` of those that it sends, too.

    `networks` and `remote_ports` are the other end's, `local_ports` the cgroup's own; empty means any. What is exempt
    is never dropped, at whichever end the port is.
    """

    cgroup: Path
    percent: float = 100.0
    networks: tuple[str, ...] = ()
    remote_ports: tuple[int, ...] = ()
    local_ports: tuple[int, ...] = ()
    exempt_networks: tuple[str, ...] = ()
    exempt_ports: tuple[int, ...] = ()
    protocol: int = 0
    partition: bool = False

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(0 < self.percent <= 100, f"percent is {self.percent}: expected more than 0, at most 100")
        check(self.protocol in {0, TCP, UDP}, f"protocol is {self.protocol}: expected 0, {TCP} or {UDP}")
        check_networks("networks", self.networks)
        check_networks("exempt networks", self.exempt_networks)
        for name, ports in (
            ("remote ports", self.remote_ports),
            ("local ports", self.local_ports),
            ("exempt ports", self.exempt_ports),
        ):
            check_ports(name, ports)
        rule = {
            "per10000": round(self.percent * 100),
            "networks": self.networks,
            "exemptNetworks": self.exempt_networks,
            "remotePorts": self.remote_ports,
            "localPorts": self.local_ports,
            "exemptPorts": self.exempt_ports,
            "protocol": self.protocol,
        }
        return {"kind": "packet-loss", "cgroup": str(self.cgroup), "rule": rule, "partition": self.partition}


@dataclass(frozen=True, slots=True)
class ConnectRefusal:
    """Connects of a cgroup fail at once with an errno, ECONNREFUSED unless another is named. Kernel 5.18."""

    cgroup: Path
    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    errno: int = 111

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(0 < self.errno < 4096, f"errno is {self.errno}: expected 1 to 4095")
        check_networks("networks", self.networks)
        check_ports("ports", self.ports)
        rule = {"networks": self.networks, "remotePorts": self.ports, "errno": self.errno}
        return {"kind": "connect-refusal", "cgroup": str(self.cgroup), "rule": rule}


@dataclass(frozen=True, slots=True)
class DnsFailure:
    """Answers of DNS do not arrive in a cgroup: to questions about some names, or without names all of them.

    A name is meant as it is asked, in any case, without what is below it. Questions over TCP fail only without names.
    """

    cgroup: Path
    names: tuple[str, ...] = ()
    ports: tuple[int, ...] = (53,)

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(len(self.names) <= MAX_NAMES, f"names: {len(self.names)} names, expected at most {MAX_NAMES}")
        for name in self.names:
            try:
                wire_name(name)
            except ValueError as error:
                raise InjectionError(f"names: {error}") from error
        check(bool(self.ports), "ports is empty: expected those of the DNS servers")
        check_ports("ports", self.ports)
        rule = {"names": self.names, "remotePorts": self.ports}
        return {"kind": "dns-failure", "cgroup": str(self.cgroup), "rule": rule}


@dataclass(frozen=True, slots=True)
class PacketDelay:
    """What a pod sends to another end arrives later by some milliseconds, give or take `jitter`. Kernel 6.6.

    `address` is the pod's, by which its interface is found; only packets of sockets in its cgroup are delayed. The one
    who holds it must be in the node's network namespace. A `protocol` of 0 means any.
    """

    cgroup: Path
    address: str
    milliseconds: int
    jitter: int = 0
    networks: tuple[str, ...] = ()
    remote_ports: tuple[int, ...] = ()
    local_ports: tuple[int, ...] = ()
    protocol: int = 0

    def to_order(self) -> dict[str, Any]:
        """The holder's order."""
        check(0 < self.milliseconds <= MAX_DELAY, f"milliseconds is {self.milliseconds}: expected 1 to {MAX_DELAY}")
        check(
            0 <= self.jitter <= self.milliseconds,
            f"jitter is {self.jitter}: expected 0 to the delay of {self.milliseconds} ms",
        )
        try:
            ipaddress.ip_address(self.address)
        except ValueError as error:
            raise InjectionError(f"address is {self.address[:60]!r}: expected the pod's address") from error
        check_networks("networks", self.networks)
        check_ports("remote ports", self.remote_ports)
        check_ports("local ports", self.local_ports)
        rule = {
            "networks": self.networks,
            "remotePorts": self.remote_ports,
            "localPorts": self.local_ports,
            "protocol": self.protocol,
        }
        place = {"cgroup": str(self.cgroup), "address": self.address}
        delay = {"milliseconds": self.milliseconds, "jitter": self.jitter}
        return {"kind": "packet-delay", "rule": rule} | place | delay


Fault = CpuStress | MemoryStress | PacketLoss | ConnectRefusal | DnsFailure | PacketDelay
