"""What a fault could leave behind: BPF programs, interfaces, queueing disciplines, rules, cgroup members.

Programs are looked for where they have an effect and where they are held: other tests of this machine have theirs.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from chaos.faults.bpf_link import libc
from tests.chaos.faults.attached_programs import programs_at_cgroup, programs_at_interfaces

CLONE_NEWNET = 0x40000000


class KernelState(NamedTuple):
    """The same before and after, whatever happened in between."""

    programs: dict[str, int]  # by cgroup, and by interface of the network namespace
    held: int  # descriptors of programs, links and maps: of this process and of those in the network namespace
    interfaces: str  # of the network namespace, as `ip link` has them; the next ones in the words of their commands
    disciplines: str
    rules: str
    members: dict[str, set[int]]  # cgroup.procs


def programs_at(pid: int, cgroups: list[Path]) -> dict[str, int]:
    """How many programs there are, by cgroup and by interface of a process's network namespace; {} without any."""
    with network_namespace_of(pid):
        found = programs_at_interfaces()
    return found | {str(one): count for one in cgroups if (count := programs_at_cgroup(one))}


def descriptors_held(pid: int) -> int:
    """How many descriptors of BPF objects this process and those in a process's network namespace have."""
    network, found = Path(f"/proc/{pid}/ns/net").stat().st_ino, 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if int(process.name) == os.getpid() or (process / "ns/net").stat().st_ino == network:
                found += sum(str(one.readlink()).startswith("anon_inode:bpf") for one in (process / "fd").iterdir())
    return found


def kernel_state(pid: int, cgroups: list[Path]) -> KernelState:
    """The state of a process's network namespace and of cgroups."""

    def say(*command: str) -> str:
        inside = ["nsenter", "--net", "--target", str(pid), *command]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout

    return KernelState(
        programs_at(pid, cgroups),
        descriptors_held(pid),
        say("ip", "-o", "link"),
        say("tc", "qdisc"),
        say("nft", "list", "ruleset"),
        {str(one): {int(text) for text in (one / "cgroup.procs").read_text().split()} for one in cgroups},
    )


@contextmanager
def network_namespace_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process: what is started in the block is in it, too."""
    with Path("/proc/thread-self/ns/net").open("rb") as own, Path(f"/proc/{pid}/ns/net").open("rb") as other:
        if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(own.fileno(), CLONE_NEWNET)
