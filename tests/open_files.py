"""What a process has open while it runs: it may close any of it between the list and the look."""

from contextlib import suppress
from pathlib import Path


def open_files(pid: int) -> set[str]:
    """What the descriptors of a process lead to, without those that it closes meanwhile."""
    found = set()
    for item in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(item.readlink()))
    return found
