"""What a cluster could leave on a machine, as comparable values."""

import subprocess
from pathlib import Path
from typing import Any

from lab.real_cluster.addressing import Layout
from lab.real_cluster.daemons import MOUNTS, processes_of
from lab.real_cluster.sysctls import CHANGED_BY_KUBELET, SYSCTL
from lab.simulated import cgroups

PLACES = ("/var/lib", "/var/log", "/etc/cni", "/usr/libexec", "/opt", "/root")


def printed(*command: str) -> str:
    """The output of a command."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(place: str) -> set[str]:
    """The names in a folder, which need not exist."""
    path = Path(place)
    return {item.name for item in path.iterdir()} if path.exists() else set()


def links() -> set[str]:
    """The machine's links to nodes of any cluster."""
    return {name for name in names("/sys/class/net") if name.startswith("podsonar")}


def mounts() -> set[str]:
    """The machine's mounts, except network namespaces of other tests."""
    return {line for line in MOUNTS.read_text().splitlines() if "/run/netns" not in line}


def groups(layout: Layout) -> list[Path]:
    """The cluster's cgroups in every hierarchy."""
    tops = cgroups.hierarchies(MOUNTS.read_text())
    return [top / layout.name for top in tops if (top / layout.name).exists()]


def state(layout: Layout) -> dict[str, Any]:
    """Everything that starting a cluster touches; sets, if entries can be added and removed."""
    return {
        "processes": processes_of(layout.name),
        "groups": set(groups(layout)),
        "mounts": mounts(),
        "links": links(),
        "routes": set(printed("ip", "route", "show", "table", "all").splitlines()),
        "packet filter": set(printed("nft", "list", "tables").splitlines()),
        "settings": {name: (SYSCTL / name).read_text() for name in CHANGED_BY_KUBELET if (SYSCTL / name).exists()},
        "forwarding": (SYSCTL / "net/ipv4/ip_forward").read_text(),
        "files": {f"{place}/{name}" for place in PLACES for name in names(place)},
    }


def left_behind(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Entries that are new or different after the cluster; entries that others removed meanwhile do not count."""
    found = {name: new - before[name] if isinstance(new, set) else new for name, new in after.items()}
    return {name: new for name, new in found.items() if new and new != before[name]}
