#!/usr/bin/env python3
"""Runs a command in a private mount namespace whose root is the root directory.

    private_mount_namespace.py COMMAND [ARGUMENT...]

In a chroot the namespace's root differs from the root directory, and neither a container nor a user namespace can be
created. If they are the same, or without root rights, the command runs unchanged.
"""

import ctypes
import os
import sys

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
OPEN_TREE, MOVE_MOUNT = 428, 429  # the same on every architecture
OPEN_TREE_CLONE, AT_RECURSIVE, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x8000, 4
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library and return its result; OSError names the function that failed."""
    done: int = getattr(libc, name)(*arguments)
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return done


def is_mount_point(path: str) -> bool:
    """Return whether a mount that this process sees is at the path."""
    with open("/proc/self/mountinfo") as mounts:  # noqa: PTH123 - nothing but what is needed before a command
        return any(line.split()[4] == path for line in mounts)


def take_root() -> None:
    """Mount the tree below the root directory on the root of a new private mount namespace."""
    folder = os.getcwd()  # noqa: PTH109
    call("unshare", CLONE_NEWNS)
    here = os.open("/", os.O_RDONLY)
    mine = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    call("setns", mine, CLONE_NEWNS)  # leads out of the chroot, to the namespace's root
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    os.fchdir(here)
    tree = call("syscall", OPEN_TREE, AT_FDCWD, b".", OPEN_TREE_CLONE | AT_RECURSIVE)
    call("syscall", MOVE_MOUNT, tree, b"", AT_FDCWD, b"/", MOVE_MOUNT_F_EMPTY_PATH)
    os.fchdir(tree)
    os.chroot(".")
    os.chdir(folder)
    for descriptor in (here, mine, tree):
        os.close(descriptor)


if __name__ == "__main__":
    if os.geteuid() == 0 and not is_mount_point("/"):
        take_root()
    os.execvp(sys.argv[1], sys.argv[1:])
