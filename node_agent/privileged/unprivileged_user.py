"""Gives up uid 0 and keeps the capabilities that loading a program needs; standard library only.

capabilities(7): leaving uid 0 clears the effective set, PR_SET_KEEPCAPS keeps the permitted one, and ambient
capabilities survive execve(2) of the supervisor and of each loader. CAP_SETUID and CAP_SETGID are used once, here, and
are gone afterwards; with no_new_privs no execve(2) gives any of it back.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 8, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522

# include/uapi/linux/capability.h
DAC_READ_SEARCH, SETGID, SETUID, SYS_ADMIN, SYS_RESOURCE, PERFMON, BPF = 2, 6, 7, 21, 24, 38, 39

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int) -> None:
    """Make one prctl(2) call; OSError with `name` if the kernel refuses."""
    if libc.prctl(*(ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:5])) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def permitted() -> set[int]:
    """Return the numbers of this process's permitted capabilities (capget(2))."""
    header, sets = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    both = sets[1] | sets[4] << 32
    return {number for number in range(64) if both >> number & 1}


def set_capabilities(kept: Iterable[int]) -> None:
    """Make these the effective, permitted and inheritable capabilities (capset(2)), and the ambient ones."""
    wanted = sum(1 << number for number in kept)
    low, high = wanted & 0xFFFFFFFF, wanted >> 32
    header, sets = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)(*(low,) * 3, *(high,) * 3)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for number in kept:
        call("prctl(PR_CAP_AMBIENT_RAISE)", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)


def loading_capabilities(held: set[int], *, perf: bool) -> set[int]:
    """Return what a loader needs of `held`: CAP_SYS_ADMIN only where CAP_BPF is missing.

    SYS_RESOURCE lifts the memory lock limit before Linux 5.11; DAC_READ_SEARCH reads the format of a perf tracepoint.
    """
    needed = {BPF, PERFMON, SYS_RESOURCE} | ({DAC_READ_SEARCH} if perf else set())
    return held & (needed | (set() if BPF in held else {SYS_ADMIN}))


def become(uid: int, gid: int, *, perf: bool = False) -> None:
    """Make this process and what it executes run as `uid` and `gid` with the capabilities of a loader alone.

    PermissionError names what is missing: nothing goes on as uid 0 that was to give it up.
    """
    held = permitted()
    missing = [name for name, number in (("SETUID", SETUID), ("SETGID", SETGID)) if number not in held]
    if missing:
        raise PermissionError(
            f"uid 0 without {' and '.join(missing)} cannot become uid {uid}: add {' and '.join(missing)} to "
            "securityContext.capabilities.add of the node agent"
        )
    call("prctl(PR_SET_NO_NEW_PRIVS)", PR_SET_NO_NEW_PRIVS, 1)
    call("prctl(PR_SET_KEEPCAPS)", PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    set_capabilities(loading_capabilities(held, perf=perf))


def hand_over(folder: str, uid: int, gid: int) -> None:
    """Give a folder of uid 0 with the files in it to `uid`, or to its group where this process may not change owners.

    Only a folder that was never handed over, so that nobody else could put a link into it: its files first, then the
    folder. Absent: it is made. OSError if it cannot be given away.
    """
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if about.st_uid != 0 or about.st_gid == gid or about.st_mode & 0o002:
            return
        give_content(descriptor, uid, gid)
        give(descriptor, uid, gid, 0o770)
    finally:
        os.close(descriptor)


def give_content(folder: int, uid: int, gid: int) -> None:
    """Give away every regular file and folder of uid 0 in an open folder; links and what others own stay."""
    with os.scandir(folder) as entries:
        folders = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries if is_plain(entry)}
    for name, is_folder in folders.items():
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            if is_folder:
                give_content(descriptor, uid, gid)
            give(descriptor, uid, gid, 0o770 if is_folder else 0o660)
        finally:
            os.close(descriptor)


def is_plain(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a regular file of uid 0."""
    plain = entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
    return plain and entry.stat(follow_symlinks=False).st_uid == 0


def give(descriptor: int, uid: int, gid: int, mode: int) -> None:
    """Give an open file to `uid` and `gid`; without CAP_CHOWN to a group of this process (chown(2)), with that mode."""
    try:
        os.fchown(descriptor, uid, gid)
    except PermissionError:
        os.fchown(descriptor, -1, gid)
        os.fchmod(descriptor, mode)
