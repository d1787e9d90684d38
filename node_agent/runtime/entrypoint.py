"""The process that stays, as the supervisor starts it: the agent without the command line and what that would import.

    python -c PROGRAM observe SUPERVISOR_FD KEPT_FD [START END]

The settings were read and checked by `podsonar agent run`, which leaves them and its version as JSON behind a
descriptor.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import msgspec

from podsonar.errors import PodsonarError, UsageError
from podsonar.model import Window, parse_rfc3339
from podsonar.settings import AgentSettings

# The first argument of `python -c`: what is spared has to be known before the first import here.
PROGRAM = (
    "from node_agent.runtime import lazy_imports; lazy_imports.install(); "
    "from node_agent.runtime.entrypoint import main; main()"
)

M_MMAP_THRESHOLD, BIG_BLOCK_BYTES = -3, 128 << 10


def one_window(start: str, end: str) -> Callable[[int], Window | None]:
    """Names the given window once, then none."""
    window = Window(parse_rfc3339(start), parse_rfc3339(end))
    if window.end_ns <= window.start_ns:
        raise UsageError(f"--once-window {start} {end}: expected the end after the start")
    left = [window]
    return lambda _after_ns: left.pop() if left else None


def stop_on_signals() -> threading.Event:
    """Set when SIGTERM or SIGINT arrives."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: None)  # tokens and certificates are read again whenever they change
    return stop


class Kept(msgspec.Struct):
    """What the command line knows already, so that the process that stays need not find it out."""

    settings: AgentSettings
    installed: str


def keep(settings: AgentSettings, installed: str) -> int:
    """A descriptor of settings and version that the programs started from here inherit."""
    descriptor = os.memfd_create("settings", flags=0)
    os.write(descriptor, msgspec.json.encode(Kept(settings, installed)))
    return descriptor


def kept(descriptor: int) -> Kept:
    """Settings and version behind a descriptor, which is closed."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Kept)


def set_mmap_threshold() -> None:
    """Let blocks of 128 KiB and more always go back to the kernel: glibc would keep up to 64 MiB of them (mallopt(3)).

    A drain, a capture and a batch are such blocks, for a moment each.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, BIG_BLOCK_BYTES)


def main() -> None:
    """Run the agent; PodsonarError becomes its sentence on stderr and its exit code."""
    stop = stop_on_signals()
    set_mmap_threshold()
    from node_agent.runtime.app import serve  # noqa: PLC0415 - the command line imports this module, too

    supervisor, descriptor, *window = sys.argv[2:]
    try:
        told = kept(int(descriptor))
        windows = one_window(*window) if window else None
        serve(told.settings, socket.socket(fileno=int(supervisor)), stop, windows, told.installed)
    except PodsonarError as error:
        sys.stderr.write(f"podsonar: {error}\n")
        sys.exit(error.exit_code)
