"""The programs at a cgroup or an interface, by bpf(2): of whomever they are, and none of another place's."""

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from chaos.faults.bpf_link import BPF_SYSCALL, CONNECT4, CONNECT6, EGRESS, FROM_TAP, INGRESS, TO_TAP, Attachment, libc

PROGRAM_QUERY = 16  # BPF_PROG_QUERY
COUNT_AT = struct.calcsize("=IIIIQ")  # `prog_cnt` in union bpf_attr


def count(target: int, where: Attachment) -> int:
    """How many programs are at one hook of a cgroup (its descriptor) or of an interface (its number)."""
    buffer = ctypes.create_string_buffer(struct.pack("=IIIIQI", target, where.attach_type, 0, 0, 0, 0), 128)
    if libc.syscall(BPF_SYSCALL[os.uname().machine], PROGRAM_QUERY, buffer, 128) != 0:
        raise OSError(ctypes.get_errno(), f"BPF_PROG_QUERY of {target}, {where.program}")
    found: int = struct.unpack_from("=I", buffer.raw, COUNT_AT)[0]
    return found


def programs_at_cgroup(folder: Path) -> int:
    """How many programs look at what a version 2 cgroup connects, sends or receives; 0 of another hierarchy's."""
    if not (folder / "cgroup.controllers").exists():
        return 0
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return sum(count(descriptor, where) for where in (INGRESS, EGRESS, CONNECT4, CONNECT6))
    finally:
        os.close(descriptor)


def programs_at_interface(number: int) -> int:
    """How many programs look at what comes in and goes out at an interface of this network namespace (TCX)."""
    try:
        return sum(count(number, where) for where in (FROM_TAP, TO_TAP))
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV}:  # none; or the interface is gone
            return 0
        raise


def programs_at_interfaces() -> dict[str, int]:
    """The interfaces of this network namespace that have programs, and how many."""
    return {name: found for number, name in socket.if_nameindex() if (found := programs_at_interface(number))}
