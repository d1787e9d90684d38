"""Files that are on disk, whole or not at all, whatever happens meanwhile."""

import contextlib
import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file that is on disk when this returns; after a crash it is the old one or the new one.

    Written beside it under a name of its own that ends in `.tmp`, fsynced, renamed, and the folder fsynced; only its
    owner may read it. OSError leaves no unfinished file.
    """
    unfinished = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(unfinished, "xb", opener=private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read, and no link to one."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
