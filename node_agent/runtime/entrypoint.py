"""Entry point of the long-running agent process, started by the supervisor without the command line's imports.

    python -c PROGRAM observe SUPERVISOR_FD HANDOFF_FD [START END]...

`podsonar agent run` reads and checks the settings and passes them, with its version, as JSON in a memfd.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec

from podsonar.errors import PodsonarError, UsageError
from podsonar.model import Window
from podsonar.settings import AgentSettings
from podsonar.timestamp import parse_rfc3339

# The argument of `python -c`: lazy imports must be installed before any other import.
PROGRAM = (
    "from node_agent.runtime import lazy_imports; lazy_imports.install(); "
    "from node_agent.runtime.entrypoint import main; main()"
)

M_MMAP_THRESHOLD, BIG_BLOCK_BYTES = -3, 128 << 10


def given_windows(times: Sequence[str]) -> Callable[[int], Window | None]:
    """Return a function that returns each given window once, then None; `times` has the start and the end of each.

    One that is over by the time it is asked for is left out. UsageError for a window that ends before it starts, or
    begins before the one in front of it has ended.
    """
    bounds = [parse_rfc3339(text) for text in times]
    left = [Window(start, end) for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    if any(one.end_ns <= one.start_ns for one in left) or bounds != sorted(bounds):
        raise UsageError(
            f"--once-window {' '.join(times)[:200]}: expected the end after the start, one after the other"
        )

    def following(after_ns: int) -> Window | None:
        while len(left) > 1 and left[0].end_ns <= after_ns:
            del left[0]
        return left.pop(0) if left else None

    return following


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; SIGHUP is ignored."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: None)  # tokens and certificates are re-read when they change
    return stop


class Handoff(msgspec.Struct):
    """Settings and version, passed from the command line to the agent process."""

    settings: AgentSettings
    installed: str


def write_handoff(settings: AgentSettings, installed: str) -> int:
    """Return an inheritable descriptor of a memfd with settings and version."""
    descriptor = os.memfd_create("settings", flags=0)
    os.write(descriptor, msgspec.json.encode(Handoff(settings, installed)))
    return descriptor


def read_handoff(descriptor: int) -> Handoff:
    """Return settings and version from a descriptor, and close it."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Handoff)


def set_mmap_threshold() -> None:
    """Make glibc return freed blocks of 128 KiB and more to the kernel; it would keep up to 64 MiB (mallopt(3)).

    Drains, captures and batches are such blocks, each short-lived.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, BIG_BLOCK_BYTES)


def main() -> None:
    """Run the agent; a PodsonarError is printed on stderr and sets the exit code."""
    stop = stop_on_signals()
    set_mmap_threshold()
    from node_agent.runtime.app import serve  # noqa: PLC0415 - the command line imports this module too

    supervisor, descriptor, *times = sys.argv[2:]
    try:
        handoff = read_handoff(int(descriptor))
        windows = given_windows(times) if times else None
        serve(handoff.settings, socket.socket(fileno=int(supervisor)), stop, windows, handoff.installed)
    except PodsonarError as error:
        sys.stderr.write(f"podsonar: {error}\n")
        sys.exit(error.exit_code)
