"""Faults of a host by the document's names: inputs → what is injected, and what the log says about it."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaos.faults.fault import CpuStress, Fault, InjectionError, MemoryStress, PacketLoss
from chaos.faults.processes import Process, find_targets
from chaos.linux_agent.ssh_ports import find_ssh_ports
from chaos.task_action import Chaos

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SIZE = re.compile(r"(\d+)([kmg]?)(?:i?b)?", re.IGNORECASE)


class Host(NamedTuple):
    """What faults need to know of the host: where network faults are attached, and whom they never touch."""

    cgroup: Path
    manager_host: str


class Plan(NamedTuple):
    """What is injected: a fault that is held, or processes to kill."""

    title: str
    parameters: dict[str, str]
    fault: Fault | None = None
    processes: tuple[Process, ...] = ()
    force: bool = False


def number_input(chaos: Chaos, name: str, default: str) -> int:
    """An input that is a whole number, with or without a percent sign."""
    text = chaos.input(name, default).strip().removesuffix("%")
    if not (text.isascii() and text.isdecimal()):
        raise InjectionError(f"{name} is {text[:40]!r}: expected a whole number")
    return int(text)


def list_input(chaos: Chaos, name: str) -> tuple[str, ...]:
    """An input that is a list, separated by commas."""
    return tuple(part.strip() for part in chaos.input(name).split(",") if part.strip())


def ports_input(chaos: Chaos, name: str) -> tuple[int, ...]:
    """An input that is a list of ports."""
    texts = list_input(chaos, name)
    if not all(text.isascii() and text.isdecimal() for text in texts):
        raise InjectionError(f"{name} is {chaos.input(name)[:60]!r}: expected ports, separated by commas")
    return tuple(map(int, texts))


def size_input(chaos: Chaos, name: str) -> int:
    """An input that is a size in bytes, such as 100m; a percentage is of the host's memory."""
    text = chaos.input(name).strip()
    if text.endswith("%"):
        total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        return number_input(chaos, name, "") * int(total[1] if total else 0) * 1024 // 100
    match = SIZE.fullmatch(text)
    if match is None:
        raise InjectionError(f"{name} is {text[:40]!r}: expected a size such as 100m or 10%")
    return int(match[1]) * UNITS[match[2].lower()]


def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses of a host name; InjectionError if it has none."""
    try:
        return tuple(sorted({str(item[4][0]) for item in socket.getaddrinfo(host, None)}))
    except (OSError, UnicodeError) as error:
        raise InjectionError(f"destination host {host[:80]!r} has no address") from error


def quoted(text: object) -> str:
    """A parameter as the document's log lines have it."""
    return f'"{text}"'


def cpu_stress(chaos: Chaos, _host: Host) -> Plan:
    """`Workers` processes that each use `Load` percent of a processor."""
    workers, load = number_input(chaos, "Workers", "1"), number_input(chaos, "Load", "100")
    return Plan("CPU stress", {"CPU": quoted(workers), "Load": quoted(f"{load}%")}, CpuStress(workers, load))


def memory_stress(chaos: Chaos, _host: Host) -> Plan:
    """`Workers` processes that together hold `Memory`."""
    workers, size = number_input(chaos, "Workers", "1"), size_input(chaos, "Memory")
    parameters = {"Workers": quoted(workers), "Memory": quoted(chaos.input("Memory"))}
    return Plan("memory stress", parameters, MemoryStress(workers, size))


def process_kill(chaos: Chaos, _host: Host) -> Plan:
    """Processes by pid, name or command, but for those that must live."""
    pids = list_input(chaos, "ProcessIDs")
    if not all(pid.isascii() and pid.isdecimal() for pid in pids):
        raise InjectionError("processIDs: expected pids, separated by commas")
    names, command = list_input(chaos, "ProcessNames"), chaos.input("ProcessCommand")
    force = chaos.input("ForceKill", "false").lower() == "true"
    found = find_targets([int(pid) for pid in pids], names, command)
    parameters = {"Processes": quoted(",".join(str(process.pid) for process in found)), "Force": quoted(force)}
    return Plan("process kill", parameters, None, tuple(found), force)


def network_loss(chaos: Chaos, host: Host) -> Plan:
    """Packets from destinations are dropped when they arrive; the manager and SSH are never touched."""
    percent = number_input(chaos, "PacketLossPercentage", "100")
    if chaos.input("NetworkInterfaces") not in {"", "all"}:
        raise InjectionError("networkInterfaces: expected none or all; name destinations or ports")
    networks = list_input(chaos, "DestinationIPs")
    for name in list_input(chaos, "DestinationHosts"):
        networks += addresses_of(name)
    remote, local = ports_input(chaos, "DestinationPorts"), ports_input(chaos, "SourcePorts")
    if not (networks or remote or local):
        raise InjectionError("expected destinationIPs, destinationHosts, destinationPorts or sourcePorts")
    exempt_ports = () if chaos.input("WhitelistSSH", "true").lower() == "false" else find_ssh_ports()
    fault = PacketLoss(
        host.cgroup,
        percent,
        networks=networks,
        remote_ports=remote,
        local_ports=local,
        exempt_networks=addresses_of(host.manager_host),
        exempt_ports=exempt_ports,
    )
    parameters = {"PacketLossPercentage": quoted(percent), "DestinationIPs": quoted(",".join(networks))}
    return Plan("network loss", parameters, fault)


FAULTS: dict[str, Callable[[Chaos, Host], Plan]] = {
    "linux-cpu-stress": cpu_stress,
    "linux-memory-stress": memory_stress,
    "linux-process-kill": process_kill,
    "linux-network-loss": network_loss,
}


def make_plan(chaos: Chaos, host: Host) -> Plan:
    """What a task injects; InjectionError names the input and what was expected."""
    make = FAULTS.get(chaos.experiment)
    if make is None:
        raise InjectionError(f"experiment {chaos.experiment[:80]!r}: expected one of {', '.join(FAULTS)}")
    return make(chaos, host)
