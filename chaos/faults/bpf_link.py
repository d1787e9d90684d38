"""Loads the checked-in instructions and attaches them to a cgroup or an interface by a link. Standard library only.

bpf(2), include/uapi/linux/bpf.h. Nothing is pinned: with the last descriptor of the link the fault is gone.
"""

import ctypes
import json
import mmap
import os
import platform
import struct
from pathlib import Path
from typing import NamedTuple

INSTRUCTIONS = Path(__file__).with_name("network_fault.json")
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, MAP_UPDATE, PROGRAM_LOAD, LINK_CREATE = 0, 2, 5, 28
ARRAY_MAP, MMAPABLE = 2, 1 << 10
SCHED_CLS, CGROUP_SKB, CGROUP_SOCK_ADDR = 3, 8, 18
BEFORE_OTHERS = 1 << 3  # BPF_F_BEFORE
LOG_BYTES = 1 << 16
MAP_LOAD, PSEUDO_MAP_FD = 0x18, 1


class Attachment(NamedTuple):
    """Where a program is attached: its name, type and `enum bpf_attach_type`."""

    program: str
    program_type: int
    attach_type: int


INGRESS = Attachment("packet", CGROUP_SKB, 0)
EGRESS = Attachment("packet", CGROUP_SKB, 1)
CONNECT4 = Attachment("connect4", CGROUP_SOCK_ADDR, 10)
CONNECT6 = Attachment("connect6", CGROUP_SOCK_ADDR, 11)
FROM_POD = Attachment("from_pod", SCHED_CLS, 46)  # at an interface: BPF_TCX_INGRESS, BPF_TCX_EGRESS, kernel 6.6
FROM_TAP = Attachment("from_tap", SCHED_CLS, 46)
TO_TAP = Attachment("to_tap", SCHED_CLS, 47)

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    """The result of one system call; OSError otherwise."""
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(0, f"machine {platform.machine()}, expected one of {', '.join(BPF_SYSCALL)}")
    result = libc.syscall(number, command, attributes.ljust(128, b"\0"), 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


class RuleMap:
    """An array of one rule, whose counters are read from memory without a system call."""

    def __init__(self, rule: bytes) -> None:
        self.size = len(rule)
        self.descriptor = bpf(MAP_CREATE, struct.pack("=IIIII", ARRAY_MAP, 4, self.size, 1, MMAPABLE))
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(rule, self.size)
        bpf(MAP_UPDATE, struct.pack("=IxxxxQQQ", self.descriptor, ctypes.addressof(key), ctypes.addressof(value), 0))
        pages = -(-self.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = mmap.mmap(self.descriptor, pages, prot=mmap.PROT_READ)

    def close(self) -> None:
        """Close the descriptor. Programs that were loaded keep the map, and counters are read as before."""
        os.close(self.descriptor)

    def counter(self, at: int) -> int:
        """A counter of 64 bits at an offset of the rule."""
        return int.from_bytes(self.memory[at : at + 8], "little")


def load_program(code: bytes, where: Attachment) -> int:
    """Load instructions and return their descriptor; OSError with the end of the verifier's log."""
    instructions, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(LOG_BYTES)

    def attributes(level: int) -> bytes:
        log_at, log_bytes = (ctypes.addressof(log), LOG_BYTES) if level else (0, 0)
        return struct.pack(
            "=IIQQIIQII16sII",
            where.program_type,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(licence),
            level,
            log_bytes,
            log_at,
            0,
            0,
            b"podsonar_fault",
            0,
            where.attach_type,
        )

    try:
        return bpf(PROGRAM_LOAD, attributes(0))
    except OSError as error:
        try:
            return bpf(PROGRAM_LOAD, attributes(1))
        except OSError:
            text = " ".join(log.value.decode("utf-8", "replace").split())[-400:]
            raise OSError(error.errno, f"{error.strerror} {text}".strip()) from error


def with_map(code: bytes, descriptor: int) -> bytes:
    """Instructions whose only map has a descriptor."""
    pieces = bytearray(code)
    for at in range(0, len(code), 8):
        if code[at] == MAP_LOAD and code[at + 1] >> 4 == PSEUDO_MAP_FD:
            pieces[at + 4 : at + 8] = struct.pack("=i", descriptor)
    return bytes(pieces)


def attach(where: Attachment, target: int, rules: RuleMap, flags: int = 0) -> int:
    """Attach a program to the cgroup of a descriptor, or the interface of an index; others' programs stay beside it.

    Returns the link's descriptor.
    """
    code = bytes.fromhex(json.loads(INSTRUCTIONS.read_text())["programs"][where.program])
    program = load_program(with_map(code, rules.descriptor), where)
    try:
        return bpf(LINK_CREATE, struct.pack("=IIII", program, target, where.attach_type, flags))
    finally:
        os.close(program)
