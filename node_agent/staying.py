"""The process that stays, as the supervisor starts it: the agent without the command line and what that would import.

    python -c "from node_agent.staying import main; main()" observe SUPERVISOR_FD SETTINGS_FD [START END]

The settings were read and checked by `podsonar agent run`, which leaves them as JSON behind a descriptor.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import msgspec

from discovery.errors import PodsonarError, UsageError
from discovery.records import Window, parse_rfc3339
from discovery.settings import AgentSettings

# structlog, httpx and httpcore take these along where they are installed, for colours, a command and asyncio. An agent
# uses none of it, and it is a fifth of the memory that it would hold on every node.
NOT_FOR_AN_AGENT = ("rich", "click", "greenlet", "anyio")


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


def keep(settings: AgentSettings) -> int:
    """A descriptor of the settings that the programs started from here inherit."""
    descriptor = os.memfd_create("settings", flags=0)
    os.write(descriptor, msgspec.json.encode(settings))
    return descriptor


def kept(descriptor: int) -> AgentSettings:
    """The settings behind a descriptor, which is closed."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=AgentSettings)


def leave_out() -> None:
    """Imports of what an agent does not use fail from now on, as where it is not installed."""
    sys.modules.update(dict.fromkeys(NOT_FOR_AN_AGENT))  # type: ignore[arg-type]  # None: the import system's own way


def main() -> None:
    """Run the agent; PodsonarError becomes its sentence on stderr and its exit code."""
    stop = stop_on_signals()
    leave_out()
    from node_agent.service import serve  # noqa: PLC0415 - only now

    supervisor, settings, *window = sys.argv[2:]
    try:
        serve(kept(int(settings)), socket.socket(fileno=int(supervisor)), stop, one_window(*window) if window else None)
    except PodsonarError as error:
        sys.stderr.write(f"podsonar: {error}\n")
        sys.exit(error.exit_code)
