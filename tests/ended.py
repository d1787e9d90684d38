"""Whether a process has ended: it may go between any two looks at it."""

import time
from pathlib import Path


def has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def wait_for_end(pid: int, seconds: float = 20.0) -> None:
    """Return once a process has ended that was sent a signal; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not has_ended(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.01)
