"""Gives up every capability for good, and ends with the parent. Standard library only."""

import ctypes
import os
import signal
import struct

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)


def drop_capabilities() -> None:
    """Have no capability, and no way to get one by a program that is executed (capabilities(7), no_new_privs)."""
    for number in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    head, sets = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)
    if libc.syscall(CAPSET[os.uname().machine], head, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def end_with_parent(parent: int) -> None:
    """Be killed when the parent ends; end now if it has already."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in {parent, 0}:  # 0: the parent is in another PID namespace
        os._exit(1)
