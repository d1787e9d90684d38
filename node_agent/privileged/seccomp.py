"""Refuses system calls that the agent never needs with EPERM, whatever capabilities it holds.

seccomp(2), classic BPF over `struct seccomp_data`. Standard library only: the supervisor installs it before the agent
runs. It needs no_new_privs, which the supervisor has set by then.
"""

import ctypes
import os
import struct
from typing import NamedTuple

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
EPERM = 1
NUMBER_AT, ARCHITECTURE_AT = 0, 4
X32_BIT = 0x40000000

# include/uapi/linux/audit.h; numbers of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl) and of the generic table.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NAMES = (
    ("acct", 163, 89),
    ("add_key", 248, 217),
    ("bpf", 321, 280),
    ("chroot", 161, 51),
    ("clock_settime", 227, 112),
    ("delete_module", 176, 106),
    ("finit_module", 313, 273),
    ("fsconfig", 431, 431),
    ("fsmount", 432, 432),
    ("fsopen", 430, 430),
    ("fspick", 433, 433),
    ("init_module", 175, 105),
    ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427),
    ("io_uring_setup", 425, 425),
    ("kcmp", 312, 272),
    ("kexec_file_load", 320, 294),
    ("kexec_load", 246, 104),
    ("keyctl", 250, 219),
    ("mount", 165, 40),
    ("mount_setattr", 442, 442),
    ("move_mount", 429, 429),
    ("open_by_handle_at", 304, 265),
    ("open_tree", 428, 428),
    ("perf_event_open", 298, 241),
    ("pidfd_getfd", 438, 438),
    ("pivot_root", 155, 41),
    ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271),
    ("ptrace", 101, 117),
    ("quotactl", 179, 60),
    ("reboot", 169, 142),
    ("request_key", 249, 218),
    ("setns", 308, 268),
    ("settimeofday", 164, 170),
    ("swapoff", 168, 225),
    ("swapon", 167, 224),
    ("umount2", 166, 39),
    ("unshare", 272, 97),
    ("userfaultfd", 323, 282),
)
SYSCALLS = {
    "x86_64": {name: number for name, number, _generic in NAMES},
    "aarch64": {name: number for name, _x86, number in NAMES},
}
REFUSED = tuple(name for name, _x86, _generic in NAMES)

libc = ctypes.CDLL(None, use_errno=True)


class Step(NamedTuple):
    """One instruction with labels for jump targets; "" continues with the next instruction."""

    code: int
    value: int
    if_true: str = ""
    if_false: str = ""
    label: str = ""


def steps(machine: str, error: int, refused: tuple[str, ...]) -> list[Step]:
    """Return the filter's steps: refuse calls of other architectures, then `refused` ones."""
    numbers = SYSCALLS[machine]
    whole = [Step(JUMP_IF_EQUAL, numbers[name], "refuse") for name in refused]
    x32 = [Step(JUMP_IF_AT_LEAST, X32_BIT, "refuse")] if machine == "x86_64" else []
    return [
        Step(LOAD, ARCHITECTURE_AT),
        Step(JUMP_IF_EQUAL, ARCHITECTURES[machine], "", "refuse"),
        Step(LOAD, NUMBER_AT),
        *x32,
        *whole,
        Step(RETURN, ALLOW),
        Step(RETURN, REFUSE | error, label="refuse"),
    ]


def program(machine: str, error: int, refused: tuple[str, ...]) -> bytes:
    """Return the filter as an array of `struct sock_filter`."""
    listed = steps(machine, error, refused)
    places = {step.label: place for place, step in enumerate(listed) if step.label}
    packed = []
    for place, step in enumerate(listed):
        jumps = [places[target] - place - 1 if target else 0 for target in (step.if_true, step.if_false)]
        packed.append(struct.pack("=HBBI", step.code, *jumps, step.value))
    return b"".join(packed)


def install(error: int = EPERM, refused: tuple[str, ...] = REFUSED) -> None:
    """Install the filter for this process and its children; OSError if the kernel refuses."""
    code = program(os.uname().machine, error, refused)
    room = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(room))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(filters, len(filters)), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl(PR_SET_SECCOMP)")
