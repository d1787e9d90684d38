"""What a fault could leave behind: BPF programs and links, interfaces, queueing disciplines, rules, cgroup members."""

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chaos.faults.bpf_link import bpf, libc

# enum bpf_cmd, enum bpf_link_type
PROGRAM_NEXT, PROGRAM_DESCRIPTOR, OBJECT_INFO, LINK_DESCRIPTOR, LINK_NEXT = 11, 13, 15, 30, 31
CGROUP_LINK = 3
NAME_AT = 64  # `name` in struct bpf_prog_info
CLONE_NEWNET = 0x40000000
NUMBER = 321 if os.uname().machine == "x86_64" else 280


class KernelState(NamedTuple):
    """The same before and after, whatever happened in between."""

    programs: int  # of ours, on the whole machine
    links: list[tuple[int, int]]  # of the cgroups: which, `enum bpf_attach_type`
    interfaces: str  # of the network namespace, as `ip link` has them; the next ones in the words of their commands
    disciplines: str
    rules: str
    members: dict[str, set[int]]  # cgroup.procs


def object_infos(next_command: int, descriptor_command: int) -> Iterator[bytes]:
    """`struct bpf_prog_info` or `bpf_link_info` of every program or link that the kernel has now."""
    number = 0
    while True:
        buffer = ctypes.create_string_buffer(struct.pack("=III", number, 0, 0).ljust(128, b"\0"), 128)
        if libc.syscall(NUMBER, next_command, buffer, 128) != 0:
            return
        number = struct.unpack_from("=I", buffer.raw, 4)[0]
        try:
            descriptor = bpf(descriptor_command, struct.pack("=I", number))
        except OSError:
            continue  # it ended meanwhile
        info = ctypes.create_string_buffer(256)
        bpf(OBJECT_INFO, struct.pack("=IIQ", descriptor, 256, ctypes.addressof(info)))
        os.close(descriptor)
        yield info.raw


def programs_left() -> int:
    """How many of our fault programs the kernel has now."""
    names = (info[NAME_AT : NAME_AT + 16].rstrip(b"\0") for info in object_infos(PROGRAM_NEXT, PROGRAM_DESCRIPTOR))
    return sum(name == b"podsonar_fault" for name in names)


def cgroup_links(cgroups: list[Path]) -> list[tuple[int, int]]:
    """The links that hold programs at these cgroups."""
    own = {folder.stat().st_ino for folder in cgroups}
    found = []
    for info in object_infos(LINK_NEXT, LINK_DESCRIPTOR):
        kind, cgroup, attach_type = struct.unpack_from("=I12xQI", info)
        if kind == CGROUP_LINK and cgroup in own:
            found.append((cgroup, attach_type))
    return sorted(found)


def kernel_state(pid: int, cgroups: list[Path]) -> KernelState:
    """The state of a process's network namespace and of cgroups."""

    def say(*command: str) -> str:
        inside = ["nsenter", "--net", "--target", str(pid), *command]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout

    return KernelState(
        programs_left(),
        cgroup_links(cgroups),
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
