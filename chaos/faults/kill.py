"""Kills processes by descriptor: a pid that has become another's since is never hit (pidfd_open(2))."""

import os
import signal
from contextlib import suppress

from chaos.faults.processes import Process, read_process


def kill(process: Process, *, force: bool) -> bool:
    """Signal a process, TERM or with `force` KILL, and return whether it was still the same one."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = read_process(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL if force else signal.SIGTERM)
            return True
        return False
    finally:
        os.close(descriptor)
