"""Lets the kernel answer fsync(2) of this process with EIO from now on, as a broken disk does."""

import ctypes
import errno
import struct
import sys
from pathlib import Path

from delivery.spool import Spool
from tests.faults.disk_program import tried

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_CALL = (0x20, 0, 0, 0)  # BPF_LD | BPF_W | BPF_ABS: seccomp_data.nr
IF_EQUAL, RETURN = 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
FSYNC = 74  # x86-64


def fail() -> None:
    """Install the filter, which nothing can take away."""
    program = [LOAD_CALL, (IF_EQUAL, 0, 1, FSYNC), (RETURN, 0, 0, ERRNO | errno.EIO), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Put a batch before and one after; argument: the spool's folder. Prints the outcomes and what is left."""
    spool = Spool(Path(sys.argv[1]))
    before = tried(spool, "c-0")
    fail()
    after = tried(spool, "c-1")
    waiting = [entry.batch_id for entry in spool.waiting()]
    unfinished = [path.name for path in spool.folder.glob("*.tmp")]
    sys.stdout.write(f"{before} | {after} | {waiting} {unfinished}\n")


if __name__ == "__main__":
    main()
