"""The processes of a pod and what they may do, read from the machine's side."""

from pathlib import Path
from typing import Any, NamedTuple

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class Privileges(NamedTuple):
    """What a process may do, by its /proc/<pid>/status."""

    user: str
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privileges: str
    seccomp: str


NOTHING = Privileges("0", 0, 0, 0, 0, 0, "1", "2")
NETWORK = 1 << 39 | 1 << 12  # CAP_BPF, CAP_NET_ADMIN
Seen = tuple[tuple[str, Privileges], ...]  # command line and privileges of processes


def privileges(fields: dict[str, str]) -> Privileges:
    """Those of a status; a process of several users is none that is expected anywhere."""
    users = set(fields["Uid"].split())
    sets = (int(fields[name], 16) for name in SETS)
    return Privileges(",".join(sorted(users)), *sets, fields["NoNewPrivs"], fields["Seccomp"])


def processes(pod_uid: str) -> list[tuple[str, dict[str, str]]]:
    """Command line and /proc/<pid>/status of each process of a pod, its sandbox apart, from the machine's side."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if pod_uid.replace("-", "_") not in (folder / "cgroup").read_text().replace("-", "_"):
                continue
            lines = (folder / "status").read_text().splitlines()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended
        fields = {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        if "python" in command:
            found.append((command, fields))
    return found


def watch(pod: dict[str, Any]) -> Seen:
    """Each process of Python in a pod."""
    return tuple((command, privileges(fields)) for command, fields in processes(pod["metadata"]["uid"]))
