"""Folders of queues on disk: private to this user, and robust against files that other programs put there."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

FLOOR_BYTES, FLOOR_PART = 64 << 20, 20


def make_private(folder: Path) -> None:
    """Create a folder with its parents; OSError for a symbolic link or another kind of file in its place.

    A folder of this user becomes accessible to this user alone. A mounted volume that belongs to somebody else keeps
    its mode; the files in it are private in any case.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if about.st_uid == os.geteuid() and about.st_mode & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; OSError(EINVAL) for a link, FIFO, folder or device, without waiting for one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(errno.EINVAL, "is not a regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def regular_files(folder: Path, suffix: str) -> list[tuple[str, int]]:
    """Name and size of each regular file whose name ends so, in the order of the names."""
    with os.scandir(folder) as entries:
        return sorted(
            (entry.name, entry.stat(follow_symlinks=False).st_size)
            for entry in entries
            if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False)
        )


def remove_unfinished(folder: Path) -> None:
    """Remove what a crash amid writing left (`*.tmp`); a folder of that name is not ours and stays."""
    with os.scandir(folder) as entries:
        names = [
            entry.name for entry in entries if entry.name.endswith(".tmp") and not entry.is_dir(follow_symlinks=False)
        ]
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def lacking_bytes(folder: Path, wanted_bytes: int) -> int:
    """Bytes to free before a file of that size fits and the file system keeps 64 MiB or 5 % free, what is less."""
    about = os.statvfs(folder)
    return shortage(wanted_bytes, about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize)


def shortage(wanted_bytes: int, whole_bytes: int, free_bytes: int) -> int:
    """Bytes that a file system of that size lacks, of which so many are free."""
    return max(0, wanted_bytes + min(FLOOR_BYTES, whole_bytes // FLOOR_PART) - free_bytes)
